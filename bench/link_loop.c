/*
 * What links cost without nslink: bare bpf(2) calls in a loop, as tight as C gets.
 *
 *     link_loop NETNS_FILE OPERATIONS
 *
 * Reads the name of an operation a line from standard input, does it OPERATIONS times, and writes
 * the nanoseconds that took: so that its rounds can alternate with somebody else's.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return (int)result;
}

static int load(void)
{
	const struct bpf_insn instructions[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_FLOW_DISSECTOR;
	attr.insns = (unsigned long)instructions;
	attr.insn_cnt = 2;
	attr.license = (unsigned long)"GPL";
	return check(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)), "BPF_PROG_LOAD");
}

static int link_create(int program, int netns)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr.link_create));
	attr.link_create.prog_fd = program;
	attr.link_create.target_fd = netns;
	attr.link_create.attach_type = BPF_FLOW_DISSECTOR;
	return check(syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr.link_create)),
		     "BPF_LINK_CREATE");
}

static void link_update(int link, int program)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr.link_update));
	attr.link_update.link_fd = link;
	attr.link_update.new_prog_fd = program;
	check(syscall(SYS_bpf, BPF_LINK_UPDATE, &attr, sizeof(attr.link_update)),
	      "BPF_LINK_UPDATE");
}

static void link_info(int link)
{
	struct bpf_link_info info;
	union bpf_attr attr;

	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr.info));
	attr.info.bpf_fd = link;
	attr.info.info = (unsigned long)&info;
	attr.info.info_len = sizeof(info);
	check(syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr.info)),
	      "BPF_OBJ_GET_INFO_BY_FD");
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	char operation[32];

	if (argc != 3)
		return 2;
	int operations = atoi(argv[2]);
	int netns = check(open(argv[1], O_RDONLY | O_CLOEXEC), argv[1]);
	int programs[2] = { load(), load() };

	while (fgets(operation, sizeof(operation), stdin)) {
		int creates = strcmp(operation, "create\n") == 0;
		int updates = strcmp(operation, "update\n") == 0;
		int link = creates ? -1 : link_create(programs[0], netns);
		long long start = now();

		for (int i = 0; i < operations; i++) {
			if (creates)
				check(close(link_create(programs[0], netns)), "close");
			else if (updates)
				link_update(link, programs[(i + 1) % 2]);
			else
				link_info(link);
		}
		long long taken = now() - start;

		/* First: whoever reads the answer may attach next. */
		if (link >= 0)
			close(link);
		printf("%lld\n", taken);
		fflush(stdout);
	}
	return 0;
}

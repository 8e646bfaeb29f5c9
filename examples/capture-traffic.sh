#!/bin/sh
# Captures examples/traffic.pcap: programs in two network namespaces of their own talk over a veth
# pair, and tcpdump listens on the server's end. Nothing leaves these namespaces, which are gone
# when the script ends, however it ends.
#
# usage: capture-traffic.sh [FILE]     (as root; wants iproute2, tcpdump, python3 and /dev/net/tun)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/traffic.pcap}
client=nslink-client-$$
server=nslink-server-$$
scratch=$(mktemp -d)
pids=
# Python would leave compiled files beside the programs.
export PYTHONDONTWRITEBYTECODE=1

clean_up() {
    trap - EXIT INT TERM
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait
    ip netns del "$client" 2>/dev/null || true
    ip netns del "$server" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Waits 10 seconds at most until a command succeeds.
wait_until() {
    tries=100
    until "$@"; do
        tries=$((tries - 1))
        if [ "$tries" -eq 0 ]; then
            echo "gave up waiting for: $*" >&2
            cat "$scratch"/*.log >&2
            exit 1
        fi
        sleep 0.1
    done
}

# Starts a program in a namespace: start NAMESPACE LOG COMMAND...
start() {
    namespace=$1 log=$scratch/$2.log
    shift 2
    ip netns exec "$namespace" "$@" >"$log" 2>&1 &
    pids="$pids $!"
}

# Whether the capture has stopped growing.
is_quiet() {
    before=$(wc -c <"$scratch/traffic.pcap")
    sleep 0.5
    [ "$(wc -c <"$scratch/traffic.pcap")" -eq "$before" ]
}

# Gives one end of the wire its addresses: set_up NAMESPACE HOST
set_up() {
    ip netns exec "$1" sh -eu -c '
        echo 0 >/proc/sys/net/ipv6/conf/default/router_solicitations
        echo 0 >/proc/sys/net/ipv6/conf/wire/router_solicitations
        ip link set lo up
        ip link set wire address "02:00:00:00:00:0$1"
        python3 "$2/capture/no_offload.py" wire
        ip link set wire up
        ip address add "192.0.2.$1/24" dev wire
        ip address add "2001:db8::$1/64" dev wire nodad
    ' sh "$2" "$here"
}

ip netns add "$client"
ip netns add "$server"
ip link add wire netns "$client" type veth peer name wire netns "$server"
set_up "$client" 1
set_up "$server" 2

start "$server" tcpdump tcpdump -i wire --immediate-mode -U -Z root -w "$scratch/traffic.pcap"
wait_until test -s "$scratch/traffic.pcap"
start "$server" server-tunnels python3 "$here/capture/tunnels.py" 2
start "$client" client-tunnels python3 "$here/capture/tunnels.py" 1
start "$server" server python3 "$here/capture/server.py"
for log in server-tunnels client-tunnels server; do
    wait_until grep -q '^ready$' "$scratch/$log.log"
done

ip netns exec "$client" python3 "$here/capture/client.py"
wait_until is_quiet
cp "$scratch/traffic.pcap" "$output"
tcpdump -r "$output" --count 2>/dev/null

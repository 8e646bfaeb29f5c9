/**
 * Random programs that a verifier would let pass, but for the shape of their control flow: jumps go
 * anywhere, into loops as well. All of them end, since every jump backwards costs fuel. With a
 * {@link Dialect} verifiers do let nearly all of them pass, and they compute the same everywhere.
 *
 * r6 is the context, r7 a packet of {@link PACKET_BYTES}; r0 to r5, r8 and r9 are numbers. Of the
 * stack, slots -8 to -64 are numbers, -72 is the fuel, and below that lie keys and values.
 */

import { Random } from "../../random.ts";

export const PACKET_BYTES = 64;
/** Programs of a prog array that a program may tail call. */
export const TAIL_PROGRAMS = 4;

/** Jumps backwards that a function may take; verifiers follow each of them. */
const FUEL = 12;
const VERIFIED_FUEL = 2;

/** Types of programs for verifiers: what leads to the packet. */
export type Dialect = keyof typeof PACKETS;

/** Where the context has the packet and its end; null: it is read by LD_ABS. */
const PACKETS = {
  xdp: { start: 0, end: 4, isWritable: true },
  dissector: { start: 76, end: 80, isWritable: false },
  filter: null,
} as const;

/** Where a dissector's context has the keys, and how long they are, in bytes. */
const KEYS_AT = 144;
const KEYS_BYTES = 56;
const NUMBERS = [0, 1, 2, 3, 4, 5, 8, 9] as const;
const INTERESTING = ["0", "1", "-1", "7", "63", "64", "0x7fffffff", "-0x80000000", "255"] as const;
const BINARY = ["+=", "-=", "*=", "/=", "%=", "|=", "&=", "^=", "<<=", ">>=", "s>>="] as const;
const SIGNED_DIVISIONS = ["s/=", "s%="] as const;
const COMPARISONS = ["==", "!=", "<", "<=", ">", ">=", "s<", "s<=", "s>", "s>=", "&"] as const;
const SIZES = [
  ["u8", 1],
  ["u16", 2],
  ["u32", 4],
  ["u64", 8],
] as const;

/** The text of a random program. @param dialect - of one that passes a verifier. */
export function randomProgram(seed: number, dialect: Dialect | null = null): string {
  return new Generator(new Random(seed), dialect).program();
}

class Generator {
  readonly #random: Random;
  readonly #lines: string[] = [];
  /** Functions and callbacks that were called and are still to be written. */
  readonly #functions: { name: string; isCallback: boolean; depth: number }[] = [];
  #labels: number = 0;
  readonly #dialect: Dialect | null;
  readonly #fuel: number;

  constructor(random: Random, dialect: Dialect | null) {
    this.#random = random;
    this.#dialect = dialect;
    this.#fuel = dialect === null ? FUEL : VERIFIED_FUEL;
  }

  program(): string {
    this.#emit("r6 = r1");
    this.#findPacket();
    this.#initialize([0, 1, 2, 3, 4, 5, 8, 9]);
    this.#body(
      "main",
      this.#dialect === null ? 12 + this.#random.below(20) : 5 + this.#random.below(14),
      0,
    );
    for (let next = this.#functions.pop(); next !== undefined; next = this.#functions.pop()) {
      this.#emit(`${next.name}:`);
      if (next.isCallback) {
        this.#emit("r0 = *(u64 *)(r2 + 0)", "r0 += r1", "*(u64 *)(r2 + 0) = r0");
        this.#emit(`r0 = r1`, `r0 >>= ${1 + this.#random.below(3)}`);
        // Verifiers want 0 or 1.
        if (this.#dialect !== null) this.#emit("r0 &= 1");
        this.#emit("exit");
      } else {
        this.#emit("r7 = r1", "r6 = r2");
        this.#initialize([0, 1, 2, 8, 9]);
        this.#body(next.name, 3 + this.#random.below(8), next.depth);
      }
    }
    return this.#lines.join("\n");
  }

  /** r7 becomes the packet, of which {@link PACKET_BYTES} are there for sure; uses r2 and r3. */
  #findPacket(): void {
    if (this.#dialect === null) {
      this.#emit("r7 = *(u32 *)(r6 + 0)");
      return;
    }
    const packet = PACKETS[this.#dialect];
    if (packet === null) {
      this.#emit("r7 = 0");
      return;
    }
    const found = this.#label();
    this.#emit(`r7 = *(u32 *)(r6 + ${packet.start})`, `r2 = *(u32 *)(r6 + ${packet.end})`);
    this.#emit("r3 = r7", `r3 += ${PACKET_BYTES}`, `if r3 <= r2 goto ${found}`);
    this.#emit("r0 = 77", "exit", `${found}:`);
  }

  #emit(...lines: readonly string[]): void {
    this.#lines.push(...lines);
  }

  #label(): string {
    return `l${this.#labels++}`;
  }

  #immediate(): string {
    if (this.#random.once(2)) return this.#random.pick(INTERESTING);
    return `${this.#random.below(0x7fffffff) - 0x40000000}`;
  }

  #initialize(registers: readonly number[]): void {
    for (const register of registers) {
      if (this.#random.once(3)) this.#emit(`r${register} = ${this.#wide()} ll`);
      else this.#emit(`r${register} = ${this.#immediate()}`);
    }
  }

  #wide(): string {
    const half = (): string => this.#random.u32().toString(16).padStart(8, "0");
    return `0x${half()}${half()}`;
  }

  /** Statements with labels in between that jumps go to, and an exit. */
  #body(name: string, count: number, depth: number): void {
    for (let slot = 8; slot <= 64; slot += 8) {
      this.#emit(`*(u64 *)(r10 - ${slot}) = ${this.#immediate()}`);
    }
    this.#emit(`*(u64 *)(r10 - 72) = ${this.#fuel}`, "*(u64 *)(r10 - 96) = 0");
    const labels = Array.from({ length: count + 1 }, (_, i) => `${name}_${i}`);
    for (let i = 0; i < count; i++) {
      this.#emit(`${labels[i]}:`);
      this.#statement(labels, i, depth);
    }
    this.#emit(`${labels[count]}:`);
    for (const register of [8, 9]) this.#emit(`r0 ^= r${register}`);
    this.#emit("r1 = *(u64 *)(r10 - 8)", "r0 += r1", "exit");
  }

  #statement(labels: readonly string[], at: number, depth: number): void {
    const random = this.#random;
    switch (random.below(14)) {
      case 0:
        this.#memory();
        return;
      case 1:
        this.#atomic();
        return;
      case 2:
      case 3:
      case 4:
        this.#jump(labels, at);
        return;
      case 5:
        this.#arrayLookup();
        return;
      case 6:
        this.#hash();
        return;
      case 7:
        this.#call(depth);
        return;
      case 8:
        if (random.once(3)) this.#tailCall();
        else this.#memory();
        return;
      case 9:
        if (this.#dialect === "dissector") this.#keys();
        else if (this.#dialect === "filter" && depth === 0) this.#legacyLoad();
        else this.#arithmetic();
        return;
      default:
        for (let i = 0; i <= random.below(4); i++) this.#arithmetic();
    }
  }

  #arithmetic(): void {
    const random = this.#random;
    const width = random.pick(["r", "w"]);
    const [to, from] = [random.pick(NUMBERS), random.pick(NUMBERS)];
    const operand = random.once(2) ? `${width}${from}` : this.#immediate();
    switch (random.below(8)) {
      case 0:
        this.#emit(`${width}${to} = -${width}${to}`);
        return;
      case 1: {
        const order = random.pick(["be16", "be32", "be64", "le16", "le32", "bswap32", "bswap64"]);
        this.#emit(`r${to} = ${order} r${to}`);
        return;
      }
      case 2: {
        const sizes = width === "r" ? ["s8", "s16", "s32"] : ["s8", "s16"];
        this.#emit(`${width}${to} = (${random.pick(sizes)})${width}${from}`);
        return;
      }
      case 3:
        this.#emit(`${width}${to} = ${operand}`);
        return;
      case 4: {
        const op = random.pick(SIGNED_DIVISIONS);
        const divisor = random.once(2) ? `${width}${from}` : random.pick(["-1", "3", "-7"]);
        this.#emit(`${width}${to} ${op} ${divisor}`);
        return;
      }
      default: {
        const op = random.pick(BINARY);
        const limit = width === "r" ? 64 : 32;
        const immediate =
          op.endsWith("<<=") || op.endsWith(">>=") ? `${random.below(limit)}` : operand;
        const isDivision = op === "/=" || op === "%=";
        this.#emit(`${width}${to} ${op} ${isDivision && immediate === "0" ? "5" : immediate}`);
      }
    }
  }

  #memory(): void {
    const random = this.#random;
    const [type, size] = random.pick(SIZES);
    const number = random.pick(NUMBERS);
    const packet = this.#dialect === null ? PACKETS.xdp : PACKETS[this.#dialect];
    const inPacket = packet !== null && random.once(2);
    const place = inPacket
      ? `(r7 + ${random.below(PACKET_BYTES - size + 1)})`
      : `(r10 - ${this.#stackOffset(size)})`;
    const choice = random.below(4);
    if (inPacket && !packet.isWritable && choice < 2) return;
    switch (choice) {
      case 0:
        this.#emit(`*(${type} *)${place} = r${number}`);
        return;
      case 1:
        this.#emit(`*(${type} *)${place} = ${this.#immediate()}`);
        return;
      case 2:
        if (size < 8) this.#emit(`r${number} = *(${type.replace("u", "s")} *)${place}`);
        return;
      default:
        this.#emit(`r${number} = *(${type} *)${place}`);
    }
  }

  /** Below r10, of an access; verifiers want it aligned. */
  #stackOffset(size: number): number {
    const random = this.#random;
    if (this.#dialect === null) return 8 + random.below(57);
    return 8 * (1 + random.below(8)) - size * random.below(8 / size);
  }

  /** Reads or writes flow keys. */
  #keys(): void {
    const random = this.#random;
    const [type, size] = random.pick(SIZES);
    const [pointer, number] = [random.pick([8, 9]), random.pick([0, 1, 2, 3, 4, 5] as const)];
    const place = `r${pointer} + ${size * random.below(KEYS_BYTES / size)}`;
    this.#emit(`r${pointer} = *(u64 *)(r6 + ${KEYS_AT})`);
    if (random.once(2)) this.#emit(`r${number} = *(${type} *)(${place})`);
    else this.#emit(`*(${type} *)(${place}) = r${number}`);
    this.#emit(`r${pointer} = ${this.#immediate()}`);
  }

  /** Loads by LD_ABS or LD_IND, now and then behind the packet's end, which ends the program. */
  #legacyLoad(): void {
    const random = this.#random;
    const type = random.pick(["u8", "u16", "u32"]);
    const at = random.below(random.once(8) ? 2 * PACKET_BYTES : PACKET_BYTES / 2);
    if (random.once(2)) {
      this.#emit(`r0 = *(${type} *)skb[${at}]`);
    } else {
      const register = random.pick([8, 9]);
      this.#emit(`r${register} &= 7`, `r0 = *(${type} *)skb[r${register} + ${at}]`);
    }
    this.#afterCall(1);
  }

  #atomic(): void {
    const random = this.#random;
    const isWide = random.once(2);
    const [type, width, suffix] = isWide ? ["u64", "r", "_64"] : ["u32", "w", "32_32"];
    const place = `r10 - ${8 * (1 + random.below(8))}`;
    const operand = random.pick(NUMBERS);
    switch (random.below(4)) {
      case 0:
        this.#emit(`${width}${operand} = xchg${suffix}(${place}, ${width}${operand})`);
        return;
      case 1:
        this.#emit(`${width}0 = cmpxchg${suffix}(${place}, ${width}0, ${width}${operand})`);
        return;
      case 2: {
        const name = random.pick(["add", "or", "and", "xor"]);
        const call = `atomic_fetch_${name}((${type} *)(${place}), ${width}${operand})`;
        this.#emit(`${width}${operand} = ${call}`);
        return;
      }
      default: {
        const op = random.pick(["+", "|", "&", "^"]);
        this.#emit(`lock *(${type} *)(${place}) ${op}= ${width}${operand}`);
      }
    }
  }

  /** A conditional jump to any label of the function; what goes backwards costs fuel. */
  #jump(labels: readonly string[], at: number): void {
    const random = this.#random;
    const to = random.below(labels.length);
    const width = random.pick(["r", "w"]);
    const operand = random.once(2) ? `${width}${random.pick(NUMBERS)}` : this.#immediate();
    const condition = `${width}${random.pick(NUMBERS)} ${random.pick(COMPARISONS)} ${operand}`;
    if (to > at) {
      // What a verifier can't reach it refuses.
      const isPlain = this.#dialect === null && random.once(6);
      this.#emit(isPlain ? `goto ${labels[to]}` : `if ${condition} goto ${labels[to]}`);
      return;
    }
    this.#emit("r0 = *(u64 *)(r10 - 72)", `if r0 == 0 goto ${labels.at(-1)}`);
    this.#emit("r0 += -1", "*(u64 *)(r10 - 72) = r0", `if ${condition} goto ${labels[to]}`);
  }

  /** What a helper or a function leaves in r1 to r5 is not to be read. */
  #afterCall(first: number): void {
    this.#initialize([0, 1, 2, 3, 4, 5].slice(first));
  }

  #arrayLookup(): void {
    const random = this.#random;
    const skip = this.#label();
    // Which CPU's value it is would depend on where a program runs.
    const map = this.#dialect === null ? random.pick(["array", "percpu"]) : "array";
    const key = `r${random.pick(NUMBERS)}`;
    this.#emit(`r0 = ${key}`, "r0 &= 7", "*(u32 *)(r10 - 80) = r0");
    this.#emit(`r1 = map_fd[${map}]`, "r2 = r10", "r2 += -80", "call bpf_map_lookup_elem");
    this.#emit(`if r0 == 0 goto ${skip}`);
    this.#useValue();
    this.#emit(`${skip}:`);
    this.#afterCall(0);
  }

  /** Reads and writes the 16 bytes that r0 points to. */
  #useValue(): void {
    const value = this.#random.pick([8, 9]);
    this.#emit(`r${value} = *(u64 *)(r0 + 8)`, `r${value} += 1`);
    this.#emit(`*(u64 *)(r0 + ${8 * this.#random.below(2)}) = r${value}`);
    if (this.#random.once(2)) this.#emit(`lock *(u64 *)(r0 + 0) += r${value}`);
  }

  /** Keys of 12 bytes, of which one has any say. */
  #hash(): void {
    const random = this.#random;
    const skip = this.#label();
    const map = random.pick(["hash", "lru", "bytes"]);
    const key = `r${random.pick(NUMBERS)}`;
    this.#emit("*(u64 *)(r10 - 120) = 5", `r0 = ${key}`, "r0 &= 7", "*(u64 *)(r10 - 112) = r0");
    this.#emit(`r1 = map_fd[${map}]`, "r2 = r10", "r2 += -117");
    switch (random.below(3)) {
      case 0:
        this.#emit("call bpf_map_lookup_elem", `if r0 == 0 goto ${skip}`);
        this.#useValue();
        this.#emit(`${skip}:`);
        this.#afterCall(0);
        return;
      case 1:
        this.#emit("r3 = r10", "r3 += -64", `r4 = ${random.below(3)}`, "call bpf_map_update_elem");
        break;
      default:
        this.#emit("call bpf_map_delete_elem");
    }
    this.#afterCall(1);
  }

  #call(depth: number): void {
    const random = this.#random;
    switch (random.below(4)) {
      case 0: {
        if (this.#dialect !== null) return;
        const helper = random.pick(["get_prandom_u32", "get_smp_processor_id", "ktime_get_ns"]);
        this.#emit(`call bpf_${helper}`);
        this.#afterCall(1);
        return;
      }
      case 1: {
        const name = `callback_${this.#labels++}`;
        this.#functions.push({ name, isCallback: true, depth });
        this.#emit(`r1 = ${random.below(20)}`, `r2 = func[${name}]`, "r3 = r10", "r3 += -96");
        this.#emit("r4 = 0", "call bpf_loop", "r8 = *(u64 *)(r10 - 96)");
        this.#afterCall(1);
        return;
      }
      default: {
        if (depth > 2 || this.#functions.length > 6) return;
        const name = `function_${this.#labels++}`;
        this.#functions.push({ name, isCallback: false, depth: depth + 1 });
        this.#emit("r1 = r7", "r2 = r6", `call ${name}`);
        this.#findPacketAgain();
        this.#afterCall(1);
      }
    }
  }

  #tailCall(): void {
    const index = this.#random.below(TAIL_PROGRAMS + 2);
    this.#emit("r1 = r6", "r2 = map_fd[progs]", `r3 = ${index}`, "call bpf_tail_call");
    this.#findPacketAgain();
    this.#afterCall(0);
  }

  /** Programs that are tail called may move packets: verifiers forget where they are. */
  #findPacketAgain(): void {
    if (this.#dialect !== null) this.#findPacket();
  }
}

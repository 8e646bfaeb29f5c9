/**
 * Terms of bit vectors and truth values, shared where they are equal, and written as SMT-LIB.
 * Constants are folded; everything else is left to the solver.
 */

/** A term. `width` is in bits; 0 for a truth value. */
export interface Term {
  readonly id: number;
  readonly operator: string;
  readonly width: number;
  readonly parts: readonly Term[];
  /** Of a constant; a truth value is 0 or 1. */
  readonly value: bigint;
}

const CONSTANT = "constant";
const VARIABLE = "variable";

const known = new Map<string, Term>();
let count = 0;

function make(operator: string, width: number, parts: readonly Term[], value = 0n): Term {
  const key = `${operator} ${width} ${value} ${parts.map(({ id }) => id).join(" ")}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  const term: Term = { id: count++, operator, width, parts, value };
  known.set(key, term);
  return term;
}

/** Forgets all terms: another lemma begins. TRUE and FALSE stay what they are. */
export function forgetTerms(): void {
  known.clear();
  for (const term of [TRUE, FALSE]) known.set(`${CONSTANT} 0 ${term.value} `, term);
}

export const FALSE: Term = make(CONSTANT, 0, [], 0n);
export const TRUE: Term = make(CONSTANT, 0, [], 1n);

export function isConstant({ operator }: Term): boolean {
  return operator === CONSTANT;
}

/** @param value - taken modulo 2^width. */
export function constant(width: number, value: bigint): Term {
  return make(CONSTANT, width, [], BigInt.asUintN(width, value));
}

/** A new variable. @param name - for whoever reads a counterexample. */
export function variable(name: string, width: number): Term {
  const operator = `${VARIABLE} |${name}.${count}|`;
  return make(operator, width, []);
}

function isVariable({ operator }: Term): boolean {
  return operator.startsWith(VARIABLE);
}

function nameOf({ operator }: Term): string {
  return operator.slice(VARIABLE.length + 1);
}

// Truth values.

export function not(a: Term): Term {
  if (a === TRUE) return FALSE;
  if (a === FALSE) return TRUE;
  return a.operator === "not" ? (a.parts[0] as Term) : make("not", 0, [a]);
}

export function and(...all: readonly Term[]): Term {
  const parts = new Set<Term>();
  for (const term of all) {
    if (term === FALSE || parts.has(not(term))) return FALSE;
    for (const part of term.operator === "and" ? term.parts : [term]) parts.add(part);
  }
  parts.delete(TRUE);
  const [first = TRUE] = parts;
  return parts.size <= 1 ? first : make("and", 0, [...parts]);
}

export function or(...all: readonly Term[]): Term {
  return not(and(...all.map(not)));
}

export function implies(a: Term, b: Term): Term {
  return or(not(a), b);
}

/** Equality, of truth values too. */
export function equal(a: Term, b: Term): Term {
  if (a.width !== b.width) throw new Error(`widths ${a.width} and ${b.width} are compared`);
  if (a === b) return TRUE;
  if (isConstant(a) && isConstant(b)) return FALSE;
  if (a === TRUE) return b;
  if (b === TRUE) return a;
  if (a === FALSE) return not(b);
  if (b === FALSE) return not(a);
  return a.id < b.id ? make("=", 0, [a, b]) : make("=", 0, [b, a]);
}

export function choose(condition: Term, a: Term, b: Term): Term {
  if (a.width !== b.width) throw new Error(`widths ${a.width} and ${b.width} are chosen from`);
  if (condition === TRUE || a === b) return a;
  if (condition === FALSE) return b;
  if (condition.operator === "not") return choose(condition.parts[0] as Term, b, a);
  if (a.width === 0) return and(implies(condition, a), or(condition, b));
  return make("ite", a.width, [condition, a, b]);
}

// Bit vectors.

export function signedValue({ width, value }: Term): bigint {
  return BigInt.asIntN(width, value);
}

const FOLDED: Readonly<Record<string, (a: bigint, b: bigint, width: number) => bigint>> = {
  bvadd: (a, b) => a + b,
  bvsub: (a, b) => a - b,
  bvmul: (a, b) => a * b,
  bvand: (a, b) => a & b,
  bvor: (a, b) => a | b,
  bvxor: (a, b) => a ^ b,
  bvshl: (a, b, width) => (b >= BigInt(width) ? 0n : a << b),
  bvlshr: (a, b, width) => (b >= BigInt(width) ? 0n : a >> b),
  bvashr: (a, b, width) => BigInt.asIntN(width, a) >> (b >= BigInt(width) ? BigInt(width) : b),
};

/** @param operator - of SMT-LIB, such as bvadd. */
export function binary(operator: string, a: Term, b: Term): Term {
  if (a.width !== b.width) throw new Error(`${operator} of widths ${a.width} and ${b.width}`);
  const fold = FOLDED[operator];
  if (fold === undefined) throw new Error(`${operator} is no operator here`);
  if (isConstant(a) && isConstant(b)) {
    return constant(a.width, fold(a.value, b.value, a.width));
  }
  const isNeutral = isConstant(b) && b.value === 0n && operator !== "bvmul" && operator !== "bvand";
  return isNeutral ? a : make(operator, a.width, [a, b]);
}

export function complement(a: Term): Term {
  return isConstant(a) ? constant(a.width, ~a.value) : make("bvnot", a.width, [a]);
}

export function unsignedLess(a: Term, b: Term): Term {
  if (a === b) return FALSE;
  if (isConstant(a) && isConstant(b)) return a.value < b.value ? TRUE : FALSE;
  return make("bvult", 0, [a, b]);
}

export function signedLess(a: Term, b: Term): Term {
  if (a === b) return FALSE;
  if (isConstant(a) && isConstant(b)) return signedValue(a) < signedValue(b) ? TRUE : FALSE;
  return make("bvslt", 0, [a, b]);
}

/** Bits `low` to `high`. */
export function extract(a: Term, high: number, low: number): Term {
  if (low === 0 && high === a.width - 1) return a;
  if (isConstant(a)) return constant(high - low + 1, a.value >> BigInt(low));
  const [first, second] = a.parts;
  if (a.operator === "concat" && first !== undefined && second !== undefined) {
    if (high < second.width) return extract(second, high, low);
    if (low >= second.width) return extract(first, high - second.width, low - second.width);
  }
  if (/^\(_ (sign|zero)_extend/.test(a.operator) && first !== undefined) {
    if (high < first.width) return extract(first, high, low);
  }
  return make(`(_ extract ${high} ${low})`, high - low + 1, [a]);
}

export function concat(high: Term, low: Term): Term {
  const width = high.width + low.width;
  if (isConstant(high) && isConstant(low)) {
    return constant(width, (high.value << BigInt(low.width)) | low.value);
  }
  const extension = /^\(_ (sign|zero)_extend/.exec(high.operator)?.[1];
  if (extension !== undefined) {
    const inner = concat(high.parts[0] as Term, low);
    return extension === "sign" ? signExtend(inner, width) : zeroExtend(inner, width);
  }
  // Neighbours are one again.
  const [above, below] = [high, low].map(({ operator }) => /extract (\d+) (\d+)/.exec(operator));
  if (above && below && high.parts[0] === low.parts[0] && Number(above[2]) === low.width) {
    if (below[2] === "0") return extract(high.parts[0] as Term, Number(above[1]), 0);
  }
  return make("concat", width, [high, low]);
}

export function signExtend(a: Term, width: number): Term {
  if (width === a.width) return a;
  if (isConstant(a)) return constant(width, signedValue(a));
  return make(`(_ sign_extend ${width - a.width})`, width, [a]);
}

export function zeroExtend(a: Term, width: number): Term {
  if (width === a.width) return a;
  if (isConstant(a)) return constant(width, a.value);
  return make(`(_ zero_extend ${width - a.width})`, width, [a]);
}

// Writing.

function sort(width: number): string {
  return width === 0 ? "Bool" : `(_ BitVec ${width})`;
}

function literal({ width, value }: Term): string {
  if (width === 0) return value === 1n ? "true" : "false";
  return width % 4 === 0
    ? `#x${value.toString(16).padStart(width / 4, "0")}`
    : `#b${value.toString(2).padStart(width, "0")}`;
}

/** A question to a solver: can all of the formulas be true? */
export interface Question {
  readonly text: string;
  /** The variables in it, for a counterexample. */
  readonly variables: readonly string[];
}

/** Declarations and assertions; the logic and the question itself are the solver's matter. */
export function question(formulas: readonly Term[]): Question {
  const lines: string[] = [];
  const names = new Map<Term, string>();
  const variables: string[] = [];
  const write = (term: Term): void => {
    if (names.has(term)) return;
    if (isConstant(term)) {
      names.set(term, literal(term));
    } else if (isVariable(term)) {
      names.set(term, nameOf(term));
      variables.push(nameOf(term));
      lines.push(`(declare-fun ${nameOf(term)} () ${sort(term.width)})`);
    } else {
      for (const part of term.parts) write(part);
      const parts = term.parts.map((part) => names.get(part)).join(" ");
      names.set(term, `t${term.id}`);
      lines.push(`(define-fun t${term.id} () ${sort(term.width)} (${term.operator} ${parts}))`);
    }
  };
  for (const formula of formulas) write(formula);
  for (const formula of formulas) lines.push(`(assert ${names.get(formula)})`);
  return { text: `${lines.join("\n")}\n`, variables };
}

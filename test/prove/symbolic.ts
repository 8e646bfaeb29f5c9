/**
 * Runs the rewritten code on terms. A branch on a term is walked both ways; where a function
 * returns, or an `if` ends, the ways come together again: what they return and what they wrote is
 * chosen by their conditions. So there is one formula for all ways through a function.
 */

import {
  type Arithmetic,
  Bool,
  bigOf,
  boolOf,
  chooseNum,
  equalNums,
  Fraction,
  floor,
  Inexpressible,
  isSafe,
  leadingZeros,
  less,
  Num,
  numberOf,
  numOf,
  operate,
  type Product,
  simplified,
  wrapped,
} from "./numbers.ts";
import type { Dialect } from "./rewrite.ts";
import * as T from "./terms.ts";

/** More ways through one function than this are a mistake of the lemma. */
const MAX_WAYS = 4096;

export const SYMBOLIC: Dialect = {
  binary: (operator, a, b) => `$.binary("${operator}", ${a}, ${b})`,
  unary: (operator, a) => `$.unary("${operator}", ${a})`,
  literal: (value) => (typeof value === "bigint" ? `${value}n` : `${value}`),
  logical: (operator, a, b) => `$.${operator === "&&" ? "and" : "or"}(${a}, () => ${b})`,
  conditional: (test, a, b) => `$.conditional(${test}, () => (${a}), () => (${b}))`,
  test: (condition) => `$.truth(${condition})`,
  region: (statement, assigned) => `$.region(() => { ${statement} }, ${variables(assigned)});`,
  whileLoop: (test, body, assigned, name) =>
    `$.loop(${JSON.stringify(name)}, () => ${test}, () => ${body}, ${variables(assigned)});`,
  concrete: (value) => `$.concrete(${value})`,
  set: (object, key, value) => `$.set(${object}, ${key}, ${value})`,
  call: (module, name) => `$.call("${module}.${name}", $${name}, $args)`,
};

function variables(names: readonly string[]): string {
  const list = names.join(", ");
  return `() => [${list}], ($values) => { [${list}] = $values; }`;
}

interface Write {
  readonly object: Record<string, unknown>;
  readonly key: string;
  /** What was there before. */
  readonly before: unknown;
}

/** A function or region whose ways are being walked. */
interface Level {
  /** Which way was taken at each branch so far. */
  readonly decisions: boolean[];
  position: number;
  conditions: T.Term[];
  writes: Write[];
}

/** One way through a level, to its end. */
interface Way {
  readonly condition: T.Term;
  /** What it returns, as that was at its end. */
  readonly result: unknown;
  readonly returned: unknown;
  /** The last values of what was written, by object and key. */
  readonly written: ReadonlyMap<object, ReadonlyMap<string, unknown>>;
}

/** What stands for a function in a lemma: what other lemmas say of it. */
export type Contract = (...args: readonly never[]) => unknown;
export type Variables = readonly unknown[];

/** A call of a contract: what it returned, and what its arguments were after it. */
interface Called {
  readonly result: unknown;
  readonly after: readonly (readonly [string, unknown][])[];
}

/** What stands for a loop. */
export interface LoopContract {
  /** New values for the loop's variables, of which the invariant is assumed. */
  readonly havoc: (before: Variables) => Variables;
  /** Called with the variables after one round from there. */
  readonly check: (before: Variables, after: Variables) => T.Term;
  /** Called with the variables behind the loop; assumes the invariant. */
  readonly leave: (before: Variables) => Variables;
}

/** `$` of the rewritten code. */
export class Machine implements Arithmetic {
  readonly Inexpressible: typeof Inexpressible = Inexpressible;
  readonly products: Map<string, Product> = new Map();
  readonly roundings: Map<T.Term, Num> = new Map();
  readonly #calls: Map<string, Called> = new Map();
  /** What holds whatever the way. */
  readonly facts: T.Term[] = [];
  /** What has to hold where the code comes by. */
  readonly duties: T.Term[] = [];
  readonly contracts: Map<string, Contract> = new Map();
  /** What has to hold wherever a function that has a contract is called. */
  readonly demands: Map<string, (...args: readonly never[]) => void> = new Map();
  readonly loops: Map<string, LoopContract> = new Map();
  /** Functions that were walked, for the row's cache and its table. */
  readonly walked: Set<string> = new Set();
  readonly #levels: Level[] = [];

  readonly assume = (fact: T.Term): void => {
    this.facts.push(fact);
  };

  /** Has to hold wherever the code comes by here. What was assumed needn't be asked. */
  require(condition: T.Term): void {
    const parts = condition.operator === "and" ? condition.parts : [condition];
    const assumed = (part: T.Term): boolean =>
      this.facts.some(
        (fact) => fact === part || (fact.operator === "and" && fact.parts.includes(part)),
      );
    if (condition === T.TRUE || parts.every(assumed)) return;
    const path = this.#levels.flatMap(({ conditions }) => conditions);
    this.duties.push(T.implies(T.and(...path), condition));
  }

  /** All ways through `run`. @returns what it returns, chosen by their conditions. */
  run<Result>(run: () => Result): Result {
    return this.#explore(run) as Result;
  }

  call(name: string, body: (...args: readonly unknown[]) => unknown, args: unknown[]): unknown {
    const contract = this.contracts.get(name);
    if (contract !== undefined) return this.#byContract(name, contract, args);
    this.walked.add(name);
    return this.#levels.length === 0 ? body(...args) : this.#explore(() => body(...args));
  }

  /** Functions of modules that are not rewritten: a lemma says which may be called. */
  strange(name: string, args: readonly unknown[]): unknown {
    const contract = this.contracts.get(name);
    if (contract === undefined) throw new Inexpressible(`${name} is not rewritten`);
    return contract(...(args as never[]));
  }

  /** What is called twice with the same says the same: ways are walked again from their start. */
  #byContract(name: string, contract: Contract, args: unknown[]): unknown {
    this.demands.get(name)?.(...(args as never[]));
    const key = `${name}(${args.map(keyOf).join()})`;
    const known = this.#calls.get(key);
    const objects = args.filter(isObject);
    if (known !== undefined) {
      objects.forEach((object, i) => {
        for (const [field, value] of known.after[i] ?? []) this.set(object, field, value);
      });
      return known.result;
    }
    const result = contract(...(args as never[]));
    this.#calls.set(key, { result, after: objects.map((object) => Object.entries(object)) });
    return result;
  }

  region(run: () => void, get: () => Variables, put: (values: Variables) => void): void {
    const before = get();
    put(
      this.#explore(() => {
        put(before);
        run();
        return get();
      }) as Variables,
    );
  }

  loop(
    name: string,
    test: () => unknown,
    body: () => void,
    get: () => Variables,
    put: (values: Variables) => void,
  ): void {
    const contract = this.loops.get(name);
    if (contract === undefined) {
      while (this.truth(test())) body();
      return;
    }
    const before = get();
    const start = contract.havoc(before);
    this.region(
      () => {
        put(start);
        if (!this.truth(test())) return;
        body();
        this.require(contract.check(start, get()));
      },
      () => [],
      () => {},
    );
    put(contract.leave(before));
    const goesOn = boolOf(test());
    this.assume(T.not(goesOn.term));
  }

  set(object: Record<string, unknown>, key: string, value: unknown): unknown {
    const own = Object.getOwnPropertyDescriptor(object, key);
    // A field that was undefined belongs to an object that is being made.
    if (own !== undefined && own.value !== undefined && this.#levels.length > 0) {
      this.#levels.at(-1)?.writes.push({ object, key, before: object[key] });
    }
    object[key] = value;
    return value;
  }

  #explore(run: () => unknown): unknown {
    const decisions: boolean[] = [];
    const ways: Way[] = [];
    let writes: Write[] = [];
    do {
      const level: Level = { decisions, position: 0, conditions: [], writes: [] };
      this.#levels.push(level);
      const result = run();
      this.#levels.pop();
      writes = level.writes;
      if (decisions.length === 0 && ways.length === 0) {
        // There is only one way: all stays as it is.
        this.#levels.at(-1)?.writes.push(...writes);
        return result;
      }
      const condition = T.and(...level.conditions);
      const written = lastValues(writes);
      ways.push({ condition, result: copied(result), returned: result, written });
      for (const { object, key, before } of writes.reverse()) object[key] = before;
      while (decisions.at(-1) === false) decisions.pop();
      if (decisions.length > 0) decisions[decisions.length - 1] = false;
      if (ways.length > MAX_WAYS) throw new Inexpressible(`more than ${MAX_WAYS} ways`);
    } while (decisions.length > 0);
    return this.#join(ways);
  }

  /** Ways of different shapes (null or not) stay apart: whoever called branches on them. */
  #join(ways: readonly Way[]): unknown {
    const objects = new Map<object, Set<string>>();
    for (const { written } of ways) {
      for (const [object, values] of written) {
        const keys = objects.get(object) ?? new Set();
        for (const key of values.keys()) keys.add(key);
        objects.set(object, keys);
      }
    }
    const places = [...objects].flatMap(([object, keys]) =>
      [...keys].map((key) => ({ object: object as Record<string, unknown>, key })),
    );
    const valueIn = ({ written }: Way, place: (typeof places)[number]): unknown => {
      const values = written.get(place.object);
      return values?.has(place.key) ? values.get(place.key) : place.object[place.key];
    };
    const groups = new Map<string, Way[]>();
    for (const way of ways) {
      const shape = [way.result, ...places.map((place) => valueIn(way, place))].map(shapeOf).join();
      const group = groups.get(shape);
      if (group === undefined) groups.set(shape, [way]);
      else group.push(way);
    }
    const group = this.#pick([...groups.values()]);
    for (const place of places) {
      const values = group.map((way) => valueIn(way, place));
      this.set(place.object, place.key, joined(group, values));
    }
    const [first] = group;
    if (group.every(({ returned }) => Object.is(returned, first?.returned))) return first?.returned;
    return joined(
      group,
      group.map(({ result }) => result),
    );
  }

  #pick(groups: readonly (readonly Way[])[]): readonly Way[] {
    for (const group of groups.slice(0, -1)) {
      if (this.#fork(T.or(...group.map(({ condition }) => condition)))) return group;
    }
    return groups.at(-1) ?? [];
  }

  #fork(condition: T.Term): boolean {
    if (T.isConstant(condition)) return condition === T.TRUE;
    const level = this.#levels.at(-1);
    if (level === undefined) throw new Inexpressible("a branch on a term outside of a lemma");
    const isKnown = (wanted: T.Term): boolean =>
      this.#levels.some(({ conditions }) => conditions.includes(wanted));
    if (isKnown(condition)) return true;
    if (isKnown(T.not(condition))) return false;
    const { decisions, conditions } = level;
    if (level.position === decisions.length) decisions.push(true);
    const way = decisions[level.position++] as boolean;
    conditions.push(way ? condition : T.not(condition));
    return way;
  }

  truth(value: unknown): boolean {
    return value instanceof Bool ? this.#fork(value.term) : boolOf(value).term === T.TRUE;
  }

  concrete(value: unknown): unknown {
    if (typeof value !== "object") return value;
    throw new Inexpressible("a switch on a term");
  }

  // Operators.

  binary(operator: string, a: unknown, b: unknown): unknown {
    if (operator === "===" || operator === "!==") {
      const same = sameValue(a, b);
      return operator === "===" ? same : this.unary("!", same);
    }
    if (!isTerm(a) && !isTerm(b)) return native(operator, a, b);
    const result = operate(operator, a, b, this);
    return result instanceof Fraction ? result : simplified(result);
  }

  unary(operator: string, a: unknown): unknown {
    if (operator === "!") {
      return typeof a === "boolean" ? !a : simplified(new Bool(T.not(boolOf(a).term)));
    }
    if (!isTerm(a)) return native(operator === "~" ? "^" : operator, ...unaryOperands(operator, a));
    const { isBig } = numOf(a);
    if (operator === "+") return a;
    if (operator === "-") return this.binary("-", isBig ? 0n : 0, a);
    return this.binary("^", a, isBig ? -1n : -1);
  }

  and(a: unknown, b: () => unknown): unknown {
    if (!(a instanceof Bool)) return isNative(a) ? a && b() : boolOf(a);
    return simplified(new Bool(T.and(a.term, boolOf(b()).term)));
  }

  or(a: unknown, b: () => unknown): unknown {
    if (!(a instanceof Bool)) return isNative(a) ? a || b() : boolOf(a);
    return simplified(new Bool(T.or(a.term, boolOf(b()).term)));
  }

  conditional(test: unknown, a: () => unknown, b: () => unknown): unknown {
    if (!(test instanceof Bool)) return boolOf(test).term === T.TRUE ? a() : b();
    return this.#explore(() => (this.truth(test) ? a() : b()));
  }

  // Globals.

  readonly Math = {
    min: (...all: unknown[]): unknown => all.reduce((a, b) => this.#extreme(a, b, true)),
    max: (...all: unknown[]): unknown => all.reduce((a, b) => this.#extreme(a, b, false)),
    floor: (value: unknown): unknown =>
      typeof value === "number" ? Math.floor(value) : simplified(floor(value)),
    clz32: (value: unknown): unknown =>
      typeof value === "number" ? Math.clz32(value) : simplified(leadingZeros(numOf(value))),
  };

  #extreme(a: unknown, b: unknown, isLeast: boolean): unknown {
    if (!isTerm(a) && !isTerm(b))
      return isLeast ? Math.min(num(a), num(b)) : Math.max(num(a), num(b));
    const [x, y] = [numOf(a), numOf(b)];
    return simplified(chooseNum(isLeast ? less(x, y) : less(y, x), x, y));
  }

  readonly Number = Object.assign(
    (value: unknown): unknown =>
      isTerm(value) ? simplified(numberOf(numOf(value))) : Number(value),
    {
      isSafeInteger: (value: unknown): unknown =>
        isTerm(value) ? simplified(new Bool(isSafe(numOf(value)))) : Number.isSafeInteger(value),
    },
  );

  readonly BigInt = Object.assign(
    (value: unknown): unknown => (isTerm(value) ? bigOf(numOf(value)) : BigInt(num(value))),
    {
      asIntN: (bits: number, value: unknown): unknown =>
        simplified(wrapped(bits, numOf(value), true)),
      asUintN: (bits: number, value: unknown): unknown =>
        simplified(wrapped(bits, numOf(value), false)),
    },
  );
}

/** Whether JavaScript knows the truth of it. */
function isNative(value: unknown): value is boolean | number | null | undefined {
  return typeof value === "boolean" || typeof value === "number" || value == null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !isTerm(value) && !(value instanceof Bool);
}

/** The same of values that are the same, whatever objects they are. */
function keyOf(value: unknown): string {
  if (value instanceof Num || value instanceof Bool) return `t${value.term.id}`;
  if (!isObject(value)) return `${typeof value} ${String(value)}`;
  return `{${Object.entries(value).map(([field, one]) => `${field}:${keyOf(one)}`)}}`;
}

function num(value: unknown): number {
  if (typeof value === "number") return value;
  throw new Inexpressible(`${String(value)} is no number`);
}

function isTerm(value: unknown): value is Num {
  return value instanceof Num || value instanceof Fraction;
}

function unaryOperands(operator: string, a: unknown): [unknown, unknown] {
  const isBig = typeof a === "bigint";
  if (operator === "~") return [a, isBig ? -1n : -1];
  return [isBig ? 0n : 0, a];
}

/** An operator on JavaScript's own numbers. */
function native(operator: string, a: unknown, b: unknown): unknown {
  const isNumber = typeof a === "number" && typeof b === "number";
  if (!isNumber && !(typeof a === "bigint" && typeof b === "bigint")) {
    throw new Inexpressible(`${String(a)} ${operator} ${String(b)}`);
  }
  const [x, y] = [a as number, b as number];
  switch (operator) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "/":
      return x / y;
    case "%":
      return x % y;
    case "**":
      return x ** y;
    case "&":
      return x & y;
    case "|":
      return x | y;
    case "^":
      return x ^ y;
    case "<<":
      return x << y;
    case ">>":
      return x >> y;
    case ">>>":
      return x >>> y;
    case "<":
      return x < y;
    case "<=":
      return x <= y;
    case ">":
      return x > y;
    case ">=":
      return x >= y;
    default:
      throw new Inexpressible(operator);
  }
}

function sameValue(a: unknown, b: unknown): unknown {
  if (a instanceof Bool || b instanceof Bool) {
    if (a === null || b === null || a === undefined || b === undefined) return false;
    return simplified(new Bool(T.equal(boolOf(a).term, boolOf(b).term)));
  }
  if (!isTerm(a) && !isTerm(b)) return a === b;
  if (a === null || b === null || a === undefined || b === undefined) return false;
  return simplified(new Bool(equalNums(numOf(a), numOf(b))));
}

/** What must be the same of values that are to be one. */
function shapeOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "number") return "number";
  if (value instanceof Num) return value.isBig ? "bigint" : "number";
  if (value instanceof Bool) return "boolean";
  if (typeof value !== "object") return typeof value === "string" ? `"${value}"` : typeof value;
  const inner = Object.values(value).map(shapeOf).join();
  return `${value.constructor.name}(${inner})`;
}

function joined(ways: readonly Way[], values: readonly unknown[]): unknown {
  const last = values.length - 1;
  let value = values[last];
  for (let i = last - 1; i >= 0; i--) value = either((ways[i] as Way).condition, values[i], value);
  return value;
}

function either(condition: T.Term, a: unknown, b: unknown): unknown {
  if (Object.is(a, b)) return a;
  if (typeof a === "boolean" || a instanceof Bool) {
    return simplified(new Bool(T.choose(condition, boolOf(a).term, boolOf(b).term)));
  }
  if (typeof a === "object" && a !== null && !(a instanceof Num)) {
    const result = Object.create(Object.getPrototypeOf(a));
    if (Array.isArray(a)) return a.map((one, i) => either(condition, one, (b as unknown[])[i]));
    for (const [key, one] of Object.entries(a)) {
      result[key] = either(condition, one, (b as Record<string, unknown>)[key]);
    }
    return result;
  }
  return simplified(chooseNum(condition, numOf(a), numOf(b)));
}

/** An object as it is now, what it holds included. */
function copied(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Num || value instanceof Bool || value instanceof Fraction) return value;
  if (Array.isArray(value)) return value.map(copied);
  const result = Object.create(Object.getPrototypeOf(value));
  for (const [key, one] of Object.entries(value)) result[key] = copied(one);
  return result;
}

function lastValues(writes: readonly Write[]): Map<object, Map<string, unknown>> {
  const found = new Map<object, Map<string, unknown>>();
  for (const { object, key } of writes) {
    const values = found.get(object) ?? new Map<string, unknown>();
    values.set(key, object[key]);
    found.set(object, values);
  }
  return found;
}

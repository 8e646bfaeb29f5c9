/**
 * Random numbers that a seed replays: a failure can be made to happen again.
 */

/** A generator with 32 bits of state (mulberry32, Tommy Ettinger, public domain). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer from 0 up to, and without, `bound`. */
  below(bound: number): number {
    return this.u32() % bound;
  }

  /** Whether something that happens once in `times` times happens now. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** Whether something happens now that happens so often in 100 times. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new RangeError("choices is empty");
    return choices[this.below(choices.length)] as T;
  }

  /** Picks by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    throw new RangeError("choices is empty");
  }
}

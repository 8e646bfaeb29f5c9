/**
 * Sets of registers and of stack slots of every frame: what matters to a verdict, what is read.
 */

/** Words a frame: registers, then slots 0 to 31 and slots 32 to 63. */
const WORDS = 3;

/** A set of registers and of stack slots, by frame. */
export class Marks {
  /** As long as the innermost frame with a mark asks for. */
  readonly #words: number[] = [];

  /** The registers of a frame, a bit each. */
  registersOf(frame: number): number {
    return this.#word(WORDS * frame);
  }

  hasRegister(frame: number, register: number): boolean {
    return ((this.#word(WORDS * frame) >> register) & 1) === 1;
  }

  addRegister(frame: number, register: number): void {
    this.#add(WORDS * frame, 1 << register);
  }

  /** @param mask - a bit each. */
  addRegisters(frame: number, mask: number): void {
    this.#add(WORDS * frame, mask);
  }

  dropRegister(frame: number, register: number): void {
    this.#drop(WORDS * frame, 1 << register);
  }

  /** @param mask - a bit each. */
  dropRegisters(frame: number, mask: number): void {
    this.#drop(WORDS * frame, mask);
  }

  hasSlot(frame: number, index: number): boolean {
    return ((this.#word(slotWord(frame, index)) >>> (index & 31)) & 1) === 1;
  }

  addSlot(frame: number, index: number): void {
    this.#add(slotWord(frame, index), 1 << (index & 31));
  }

  dropSlot(frame: number, index: number): void {
    this.#drop(slotWord(frame, index), 1 << (index & 31));
  }

  /** Whether a slot of the frame is in the set. */
  hasSlots(frame: number): boolean {
    return (this.#word(WORDS * frame + 1) | this.#word(WORDS * frame + 2)) !== 0;
  }

  clearFrame(frame: number): void {
    for (let i = 0; i < WORDS; i++) this.#drop(WORDS * frame + i, -1);
  }

  get isEmpty(): boolean {
    let all = 0;
    for (let at = 0; at < this.#words.length; at++) all |= this.#words[at] as number;
    return all === 0;
  }

  copy(): Marks {
    const copy = new Marks();
    for (let at = 0; at < this.#words.length; at++) copy.#words.push(this.#words[at] as number);
    return copy;
  }

  #word(at: number): number {
    return at < this.#words.length ? (this.#words[at] as number) : 0;
  }

  #add(at: number, bits: number): void {
    while (this.#words.length <= at) this.#words.push(0);
    this.#words[at] = (this.#words[at] as number) | bits;
  }

  #drop(at: number, bits: number): void {
    if (at < this.#words.length) this.#words[at] = (this.#words[at] as number) & ~bits;
  }
}

function slotWord(frame: number, index: number): number {
  return WORDS * frame + 1 + (index >> 5);
}

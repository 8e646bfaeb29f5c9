/** The one error of this room. */

/**
 * An object file that can't be used: malformed, or in need of something that isn't there.
 *
 * The message reads `section+0x18: what is wrong`.
 */
export class ObjectError extends Error {
  override readonly name = "ObjectError";
  /** Name of the section at fault; `"ELF header"` and the like for what lies outside sections. */
  readonly section: string;
  /** Byte offset of the fault inside that section. */
  readonly offset: number;

  constructor(section: string, offset: number, problem: string) {
    super(`${section || "section without a name"}+0x${offset.toString(16)}: ${problem}`);
    this.section = section;
    this.offset = offset;
  }
}

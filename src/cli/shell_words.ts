/**
 * The words of a line, as a shell would take it apart: blanks between words, quotes, backslashes,
 * and # for a comment. Nothing is expanded.
 */

/** A line that can't be taken apart. */
export class WordsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WordsError";
  }
}

/** Blanks; a comment; or a piece of a word: plain, escaped, or in single or double quotes. */
const PIECE =
  /([ \t\r]+)|(#.*)|([^ \t\r"'\\]+)|\\([\s\S]?)|'([^']*)('?)|"((?:[^"\\]|\\[\s\S])*)("?)/y;

/**
 * Takes a line apart.
 *
 * @throws {WordsError} for a quote that is not closed.
 */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  PIECE.lastIndex = 0;
  for (let piece = PIECE.exec(line); piece !== null; piece = PIECE.exec(line)) {
    const [, blanks, comment, plain, escaped, single, singleEnd, double, doubleEnd] = piece;
    if (blanks !== undefined || (comment !== undefined && word === null)) {
      if (word !== null) words.push(word);
      word = null;
      if (comment !== undefined) break;
      continue;
    }
    if (singleEnd === "" || doubleEnd === "") throw new WordsError("a quote is not closed");
    if (escaped === "") throw new WordsError("nothing follows the backslash at its end");
    // Inside of double quotes a backslash takes the meaning of a quote and of itself only.
    const text = plain ?? comment ?? escaped ?? single ?? double?.replaceAll(/\\(["\\])/g, "$1");
    word = (word ?? "") + text;
    if (PIECE.lastIndex >= line.length) break;
  }
  if (word !== null) words.push(word);
  return words;
}

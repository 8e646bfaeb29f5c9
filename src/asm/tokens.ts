/**
 * A line of assembly text cut into tokens, and the cursor that a parser moves over them.
 */

/** A mistake in assembly text, with its place. */
export class AssemblerError extends Error {
  override readonly name = "AssemblerError";
  /** Line of the mistake, from 1. */
  readonly line: number;
  /** Column where the offending token starts, from 1, in UTF-16 units. */
  readonly column: number;

  /** @param reason - what is wrong; the message puts the place in front of it. */
  constructor(line: number, column: number, reason: string) {
    super(`line ${line}, column ${column}: ${reason}`);
    this.line = line;
    this.column = column;
  }
}

/** A word (mnemonic, register, type, name), a number without sign, an operator, or the line end. */
export interface Token {
  readonly kind: "word" | "number" | "operator" | "end";
  readonly text: string;
  readonly column: number;
}

// Signed operators start with a letter, so they come before words; the longest comes first.
const OPERATORS = /s>>=|s[<>/%]=|s[<>](?!>)|<<=|>>=|[-+*/%&|^=!<>]=|[-+*&=<>()[\],:]/;
const TOKEN = new RegExp(
  [
    String.raw`(?<blank>\s+|(?:;|#|\/\/).*)`,
    String.raw`(?<number>\d\w*)`,
    `(?<operator>${OPERATORS.source})`,
    String.raw`(?<word>[A-Za-z_.$][\w.$]*)`,
  ].join("|"),
  "y",
);

const NUMBER = /^(?:0[xX][0-9a-fA-F]+|\d+)$/;

/** Cuts one line into tokens, the last of which is the line's end; comments are dropped. */
function tokenize(text: string, line: number): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const column = at + 1;
    const { blank, number, operator } = match?.groups ?? {};
    if (match === null) {
      const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
      throw new AssemblerError(line, column, `unexpected character \`${character}\``);
    }
    if (number !== undefined && !NUMBER.test(number)) {
      throw new AssemblerError(line, column, `\`${number}\` is not a number`);
    }
    const kind = number !== undefined ? "number" : operator !== undefined ? "operator" : "word";
    if (blank === undefined) tokens.push({ kind, text: match[0], column });
    at = TOKEN.lastIndex;
  }
  tokens.push({ kind: "end", text: "", column: text.trimEnd().length + 1 });
  return tokens;
}

/** Names that may stand where an integer may. */
export type Constants = Readonly<Record<string, number | bigint>>;

/** The tokens of one line and how far they have been read. */
export class Cursor {
  /** Line number, from 1. */
  readonly line: number;
  readonly constants: Constants;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string, line: number, constants: Constants = {}) {
    this.line = line;
    this.constants = constants;
    this.#tokens = tokenize(text, line);
  }

  /** The next token, or one after it, without moving; past the line, its end. */
  peek(ahead = 0): Token {
    return this.#tokens[this.#at + ahead] ?? this.#end;
  }

  /** The next token, moving past it; the line's end is never passed. */
  next(): Token {
    const token = this.peek();
    if (token.kind !== "end") this.#at++;
    return token;
  }

  /** Moves past the next token if it has this text. */
  accept(text: string): boolean {
    const found = this.peek().kind !== "end" && this.peek().text === text;
    if (found) this.#at++;
    return found;
  }

  /** Moves past a token that must have this text. */
  expect(text: string): void {
    if (!this.accept(text)) throw this.unexpected(`\`${text}\``);
  }

  /** The error of a token that should have been something else. */
  unexpected(wanted: string, token: Token = this.peek()): AssemblerError {
    const found = token.kind === "end" ? "the line ends" : `found \`${token.text}\``;
    return this.error(`expected ${wanted}, ${found}`, token);
  }

  /** An error at a token, by default the next one. */
  error(reason: string, token: Token = this.peek()): AssemblerError {
    return new AssemblerError(this.line, token.column, reason);
  }

  get #end(): Token {
    const last = this.#tokens.at(-1);
    return last ?? { kind: "end", text: "", column: 1 };
  }
}

/**
 * Makes a program shorter for as long as it still shows what is wrong.
 */

import type { Line, Source, Subprogram } from "./code.ts";

const MAX_ROUNDS = 6;

/** Lines of the main function or of another one, as a program with others instead. */
function withLines(source: Source, index: number, lines: readonly Line[]): Source {
  if (index === 0) return { ...source, main: lines };
  const subprograms = source.subprograms.map((sub, i) =>
    i + 1 === index ? { ...sub, lines } : sub,
  );
  return { ...source, subprograms };
}

/** Functions that nothing leads to are refused: they go with their last call. */
function pruned(source: Source): Source {
  const lines = [...source.main, ...source.subprograms.flatMap((sub) => sub.lines)];
  const called = new Set(lines.map(({ target }) => target));
  const subprograms = source.subprograms.filter(({ label }: Subprogram) => called.has(label));
  return { ...source, subprograms };
}

/** @param isBad - whether a program still shows it. It may be one that can't be loaded. */
export function shrink(source: Source, isBad: (source: Source) => boolean): Source {
  let best = source;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = best;
    for (let part = best.subprograms.length; part >= 0; part--)
      best = shrinkPart(best, part, isBad);
    if (best === before) break;
  }
  return best;
}

function shrinkPart(source: Source, part: number, isBad: (source: Source) => boolean): Source {
  let best = source;
  const linesOf = (from: Source): readonly Line[] =>
    (part === 0 ? from.main : from.subprograms[part - 1]?.lines) ?? [];
  for (let count = 4; count >= 1; count = Math.floor(count / 2)) {
    for (let at = linesOf(best).length - count; at >= 0; at--) {
      const lines = linesOf(best);
      const left = lines.filter((line, i) => i < at || i >= at + count || line.label !== undefined);
      if (left.length === lines.length) continue;
      const shorter = pruned(withLines(best, part, left));
      if (shorter.subprograms.length !== best.subprograms.length && part > 0) continue;
      if (isBad(shorter)) best = shorter;
    }
  }
  return best;
}

/** A program without the comparisons that narrow its number. */
export function withoutGuards(source: Source, out: number): Source {
  const unguarded = (lines: readonly Line[]): Line[] => lines.filter(({ guard }) => guard !== true);
  const main = unguarded(source.main);
  const end = main.findIndex(({ label }) => label === out);
  const isUsed = main.some(({ target }) => target === out);
  return {
    ...source,
    main: isUsed || end < 0 ? main : main.slice(0, end),
    subprograms: source.subprograms,
  };
}

/** The lines that differ, with `-` for the old text's and `+` for the new one's, and where lines are left out `…`. */
export function diffLines(from: string, to: string): string[] {
  const [a, b] = [trimLines(from), trimLines(to)];
  const common = commonLengths(a, b);
  const lines: string[] = [];
  let isSkipping = false;
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      if (!isSkipping) lines.push("  …");
      isSkipping = true;
      i++;
      j++;
      continue;
    }
    isSkipping = false;
    const takesOld =
      j >= b.length || (i < a.length && at(common, i + 1, j) >= at(common, i, j + 1));
    lines.push(takesOld ? `- ${a[i++]}` : `+ ${b[j++]}`);
  }
  return lines;
}

const trimLines = (text: string) =>
  text
    .replace(/^\s*\n|\s+$/g, "")
    .split("\n")
    .map((line) => line.trimEnd());

const at = (common: number[][], i: number, j: number) => common[i]?.[j] ?? 0;

/** How many lines the rest of `a` from i and the rest of `b` from j have in common, in order. */
function commonLengths(a: string[], b: string[]): number[][] {
  const common = a.map(() => new Array<number>(b.length).fill(0));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) {
      const row = common[i];
      if (row)
        row[j] =
          a[i] === b[j]
            ? at(common, i + 1, j + 1) + 1
            : Math.max(at(common, i + 1, j), at(common, i, j + 1));
    }
  return common;
}

import { expect, test } from "vitest";
import { diffLines } from "../../src/migrate/diff-lines.ts";

const lines = (...text: string[]) => `\n${text.join("\n")}\n`;

test.each([
  ["equal", lines("a", "b"), "a\nb", ["  …"]],
  ["a line was added", lines("a", "c"), lines("a", "b", "c"), ["  …", "+ b", "  …"]],
  ["a line was removed at the end", lines("a", "b"), lines("a"), ["  …", "- b"]],
  ["a line was replaced", lines("a", "b", "c"), lines("a", "x", "c"), ["  …", "- b", "+ x", "  …"]],
  ["all differ", lines("a"), lines("b", "c"), ["- a", "+ b", "+ c"]],
  ["a line has moved", lines("a", "b"), lines("b", "a"), ["- a", "  …", "+ a"]],
])("%s", (_, from, to, expected) => {
  expect(diffLines(from, to)).toEqual(expected);
});

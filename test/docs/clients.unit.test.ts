import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CLIENTS } from "../clients/support/clients.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("docs/clients.md shows exactly the programs that npm run test:clients runs", () => {
  const text = read("docs/clients.md");
  const shown = [...text.matchAll(/^\[`(.+)`\].*\n\n```\w+\n([\s\S]*?)^```$/gm)];
  expect(Object.fromEntries(shown.map(([, file, program]) => [file, program]))).toEqual(
    Object.fromEntries(CLIENTS.map(({ file }) => [file, read(`test/clients/${file}`)])),
  );
});

test("the table of docs/clients.md has a row for each program", () => {
  const rows = [...read("docs/clients.md").matchAll(/^\| \[`(.+)`\]/gm)].map(([, file]) => file);
  expect(rows).toEqual(CLIENTS.map(({ file }) => file));
});

import { readdir, readFile, writeFile } from "node:fs/promises";
import { quantile } from "./quantile.ts";

/** The result of one scenario: its contenders, and every figure of every round. */
export interface Result {
  /** Its name on the command line. */
  scenario: string;
  /** What was done, in a sentence or two. */
  what: string;
  /** Contender → figure, its unit in the name → one number a round. */
  figures: Record<string, Record<string, number[]>>;
  /** Each goal and its result, with the formula: `0.97 (Bellwire / row only)`. */
  goals: { goal: string; reached: string; isReached: boolean }[];
  /** Which contenders were left out and why, and what a reader must know. */
  notes: string[];
  /** Machine, versions and date. */
  place: string;
}

/** Adds one round of a contender: figure → number. */
export function addRound(
  figures: Result["figures"],
  contender: string,
  round: Record<string, number>,
): void {
  const row = figures[contender] ?? {};
  figures[contender] = row;
  for (const [figure, value] of Object.entries(round))
    row[figure] = [...(row[figure] ?? []), value];
}

const RESULTS = new URL("./results/", import.meta.url);
const PAGE = new URL("../docs/performance.md", import.meta.url);
const MARK = "<!-- The rest is written by `npm run bench`. -->";

/** Stores a scenario's result in `bench/results/`, and writes the tables of docs/performance.md from all stored results. */
export async function keep(result: Result): Promise<void> {
  await writeFile(new URL(`${result.scenario}.json`, RESULTS), toJson(result));
  const names = (await readdir(RESULTS)).filter((name) => name.endsWith(".json")).toSorted();
  const results = names.map(
    async (name): Promise<Result> => JSON.parse(await readFile(new URL(name, RESULTS), "utf8")),
  );
  const [head] = (await readFile(PAGE, "utf8")).split(MARK);
  const sections = (await Promise.all(results)).map(toMarkdown);
  await writeFile(PAGE, `${head}${MARK}\n\n${sections.join("\n")}`);
}

/** JSON with the rounds of a figure on one line. */
function toJson(result: Result): string {
  const json = JSON.stringify(result, null, 2);
  return `${json.replace(/\[[-\d.e,\s]*\]/g, (rounds) => rounds.replace(/\s+/g, " "))}\n`;
}

/** A scenario's section: its goals, and a table of medians with the minimum and maximum of the rounds. */
export function toMarkdown({ scenario, what, figures, goals, notes, place }: Result): string {
  const columns = [...new Set(Object.values(figures).flatMap((row) => Object.keys(row)))];
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const table = [
    row(["", ...columns]),
    row(["---", ...columns.map(() => "---:")]),
    ...Object.entries(figures).map(([contender, own]) =>
      row([contender, ...columns.map((column) => spread(own[column]))]),
    ),
  ];
  const reached = goals.map(
    ({ goal, reached, isReached }) =>
      `- ${isReached ? "reached" : "**not reached**"}: ${goal}: ${reached}`,
  );
  return [
    `## ${scenario}`,
    "",
    what,
    "",
    `\`npm run bench -- ${scenario}\`; ${place}.`,
    "",
    ...table,
    "",
    ...(reached.length > 0 ? [...reached, ""] : []),
    ...notes.map((note) => `${note}\n`),
  ].join("\n");
}

function spread(values: number[] | undefined): string {
  if (!values || values.length === 0) return "";
  const [median, least, greatest] = [0.5, 0, 1].map((q) => short(quantile(values, q)));
  return values.length === 1 ? `${median}` : `${median} (${least} to ${greatest})`;
}

/** Three significant digits. */
const short = (value: number) =>
  Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));

import { alignColumns } from "../migrate/columns.ts";
import type { FolderComparison, RuleChange } from "../migrate/compare-rules.ts";
import { diffLines } from "../migrate/diff-lines.ts";
import { describeRule, type InstalledRule } from "../migrate/installed-rules.ts";
import { dropRule, type RuleFinding } from "../migrate/rule-meanings.ts";

/** One line a rule, then what a person should look at. */
export function formatList(rules: InstalledRule[], findings: readonly RuleFinding[]): string {
  if (rules.length === 0) return "There are no rules.";
  const lines = alignColumns(rules.map((rule) => [rule.name, describeRule(rule)]));
  return [...lines, ...describeFindings(findings)].join("\n");
}

/** What `rules apply` did: one line a rule, then what it left to a person. */
export function formatApplied({
  changes,
  findings,
}: {
  changes: RuleChange[];
  findings: readonly RuleFinding[];
}): string {
  const lines = alignColumns(
    changes.map((change) => [change.state, change.name, describeChange(change)]),
  );
  return [...lines, ...describeGone(changes), ...describeFindings(findings)].join("\n");
}

/** What `rules apply` would do. */
export function formatDiff(changes: RuleChange[], failures: FolderComparison["failures"]): string {
  const different = changes.filter(({ state, refusal }) => state !== "unchanged" || refusal);
  if (different.length === 0 && failures.length === 0) {
    return `The rules are installed as the files define them: ${changes.length}.`;
  }
  return [
    ...failures.map(({ why }) => `failed  ${why}`),
    ...different.flatMap((change) => [
      [change.state, change.name, describeChange(change)].join("  ").trimEnd(),
      ...change.differences.flatMap(describeDifference),
      ...(change.refusal ? [`  refused: ${change.refusal}`] : []),
    ]),
    ...describeGone(changes),
  ].join("\n");
}

function describeChange({ state, seen, table, event, file, differences }: RuleChange): string {
  if (state === "new") return `${event} on ${table}, ${file}`;
  if (state === "changed") return `${differences.map(({ what }) => what).join(" and ")}, ${file}`;
  if (state === "dropped") return file ?? "";
  return seen ?? "";
}

function describeDifference({ what, from, to }: RuleChange["differences"][number]): string[] {
  if (what !== "query") return [`  ${what}: ${from} → ${to}`];
  return ["  query:", ...diffLines(from, to).map((line) => `    ${line}`)];
}

function describeGone(changes: RuleChange[]): string[] {
  const gone = changes.filter(({ state }) => state === "gone");
  if (gone.length === 0) return [];
  return [
    "",
    "Installed, and in no file. To drop:",
    ...gone.map(({ name }) => `  ${dropRule(name)}`),
  ];
}

function describeFindings(findings: readonly RuleFinding[]): string[] {
  const needed = findings.filter(({ level }) => level !== "note");
  if (needed.length === 0) return [];
  return ["", ...needed.map(({ rule, level, seen, fix }) => `${level}  ${rule}: ${seen}. ${fix}`)];
}

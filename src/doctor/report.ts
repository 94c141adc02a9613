import { EXIT } from "../exit-code.ts";
import type { Finding } from "./finding.ts";

/** What the command prints and how it exits: with 2 if anything is broken, with 1 if a person should look at something. */
export function report(findings: readonly Finding[], as: "text" | "json") {
  const text =
    as === "json"
      ? JSON.stringify({ verdict: verdict(findings), findings }, null, 2)
      : toText(findings);
  const exitCode = { well: undefined, look: EXIT.look, broken: EXIT.broken }[verdict(findings)];
  return exitCode === undefined ? { text } : { text, exitCode };
}

/** The worst level of all findings. */
function verdict(findings: readonly Finding[]): Finding["level"] {
  for (const level of ["broken", "look"] as const)
    if (findings.some((finding) => finding.level === level)) return level;
  return "well";
}

const MARKS = { well: "ok     ", look: "look   ", broken: "BROKEN " };
const LABEL = " ".repeat(MARKS.well.length);

/** The worst come last, where a terminal shows them. */
function toText(findings: readonly Finding[]): string {
  const ordered = (["well", "look", "broken"] as const).flatMap((level) =>
    findings.filter((finding) => finding.level === level),
  );
  return [...ordered.map(describe), "", summarize(findings)].join("\n");
}

function describe(finding: Finding): string {
  const { level, check, seen } = finding;
  const lines = [`${MARKS[level]}${check}: ${seen}`];
  if (finding.level !== "well") lines.push(`why  ${finding.why}`, `do   ${finding.fix}`);
  return lines.join("\n").replaceAll("\n", `\n${LABEL}`);
}

function summarize(findings: readonly Finding[]): string {
  const count = (level: Finding["level"]) =>
    findings.filter((finding) => finding.level === level).length;
  if (verdict(findings) === "well") return `All is well. Checks: ${findings.length}.`;
  return `${count("broken")} broken, ${count("look")} to look at, ${count("well")} well.`;
}

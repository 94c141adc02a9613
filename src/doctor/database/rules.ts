import type { MigrationFile } from "../../migrate/files.ts";
import { readRuleFindings } from "../../migrate/rule-findings.ts";
import { explain, type RuleFinding, type Seen } from "../../migrate/rule-meanings.ts";
import { type Finding, well } from "../finding.ts";
import { plural } from "../plural.ts";
import type { Session } from "./session.ts";

/** The installed rules: whether they fire, fit their tables, failed lately, and are those of the files. */
export async function checkRules(
  session: Session,
  files: readonly MigrationFile[],
): Promise<Finding[]> {
  const findings = await readRuleFindings(session.client, files);
  const isUnchecked = findings.some(({ code, rule }) => code === "not_checked" && rule === "(all)");
  if (isUnchecked) findings.push(...(await readFailing(session)));
  const found = findings
    .filter(({ code }) => code !== "not_checked" || !isUnchecked)
    .map(toFinding);
  if (found.some(({ level }) => level !== "well")) return found;
  const rows = await session.read((client) => client.query("select from bellwire.rules"));
  const rules = plural(rows.rowCount ?? 0, "rule");
  const limits = isUnchecked
    ? "; whether their queries fit is shown only to a member of bellwire_owner"
    : "";
  return [well("rules", `${rules}, and all fire where they should${limits}`), ...found];
}

/** `check` is one of the codes of rule-meanings.ts: `rule_table_recreated`. */
function toFinding({ code, rule, level, seen, why, fix }: RuleFinding): Finding {
  const check = `rule_${code}`;
  const about = { check, seen: `${rule.endsWith(".sql") ? rule : `rule ${rule}`}: ${seen}` };
  if (level === "note") return { ...about, level: "well" };
  // Its own `fix` is a hint, such as the columns that there are, or a grant.
  const first = code === "query_unfit" ? "Correct its file, then: bellwire rules apply DIR. " : "";
  return { ...about, level, why, fix: first + fix };
}

/** What a member of bellwire_owner gets from readRuleFindings(), for the service's login. */
async function readFailing(session: Session): Promise<RuleFinding[]> {
  const { rows } = await session.read((client) => client.query<Seen>(FAILING));
  return rows.map(explain);
}

const FAILING = `
select name as rule,
       'failing' as code,
       format('%s errors, the last at %s: %s', errors, to_char(last_error_at, 'YYYY-MM-DD HH24:MI'), last_error) as seen
  from bellwire.rules
 where last_error_at > now() - interval '1 day'
 order by name`;

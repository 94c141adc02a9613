import type { ClientBase } from "pg";
import type { MigrationFile } from "./files.ts";
import { type FolderRule, readFolderRules } from "./folder-rules.ts";
import { isMendable, type RuleFinding } from "./rule-meanings.ts";

/** What applying a folder does to a rule, or leaves to a person. */
export type RuleChange = {
  name: string;
  /**
   * `mended`: the same definition, but its trigger or function is not as it should be; `disabled`: the same, but its trigger is
   * disabled, and stays so; `dropped`: by a file; `gone`: installed, and in no file.
   */
  state: "new" | "changed" | "mended" | "disabled" | "unchanged" | "dropped" | "gone";
  table: string;
  event: string;
  /** The file that defines or drops it; none if it is gone. */
  file?: string;
  /** What is wrong with it today. */
  seen?: string;
  /** What differs between the installed definition and the file's. */
  differences: { what: string; from: string; to: string }[];
  /** Why define_rule() would refuse it. */
  refusal?: string;
};

export type FolderComparison = {
  changes: RuleChange[];
  failures: { file: string; why: string }[];
};

type Installed = Omit<FolderRule, "file" | "isDropped" | "refusal">;

/**
 * Compares the rules that a folder's files define with those that are installed. `findings` are those of the installed rules. Needs an
 * open transaction, and changes nothing.
 */
export async function compareRules(
  client: ClientBase,
  files: readonly MigrationFile[],
  findings: readonly RuleFinding[],
): Promise<FolderComparison> {
  const installed = (await client.query<Installed>(INSTALLED)).rows;
  const { rules, failures } = await readFolderRules(client, files);
  const changes = rules.flatMap((rule): RuleChange[] => {
    const present = installed.find(({ name }) => name === rule.name);
    if (rule.isDropped)
      return present ? [{ ...describe(present, "dropped"), file: rule.file }] : [];
    return [compareRule(rule, present, findings)];
  });
  const named = new Set(rules.map(({ name }) => name));
  // A file that failed may define any of them.
  const gone = failures.length > 0 ? [] : installed.filter(({ name }) => !named.has(name));
  return { changes: [...changes, ...gone.map((rule) => describe(rule, "gone"))], failures };
}

const describe = ({ name, table, event }: Installed, state: RuleChange["state"]): RuleChange => ({
  name,
  state,
  table,
  event,
  differences: [],
});

function compareRule(
  rule: FolderRule,
  present: Installed | undefined,
  findings: readonly RuleFinding[],
): RuleChange {
  const { file, refusal } = rule;
  const said = { file, ...(refusal !== null && { refusal }) };
  if (!present) return { ...describe(rule, "new"), ...said };
  const differences = listDifferences(present, rule);
  if (differences.length > 0) return { ...describe(rule, "changed"), ...said, differences };
  const fault = findings.find((finding) => finding.rule === rule.name && isFault(finding));
  if (!fault) return { ...describe(rule, "unchanged"), ...said };
  const state = isMendable(fault) ? "mended" : "disabled";
  return { ...describe(rule, state), ...said, seen: fault.seen };
}

const isFault = (finding: RuleFinding) =>
  isMendable(finding) || finding.code === "trigger_disabled";

/** A table of the stored name counts as the same, whether it was created again or renamed. */
function listDifferences(present: Installed, rule: FolderRule): RuleChange["differences"] {
  const isSameTable = present.tableOid === rule.tableOid || present.table === rule.table;
  const compared = [
    { what: "table", from: present.table, to: isSameTable ? present.table : rule.table },
    { what: "event", from: present.event, to: rule.event },
    { what: "action", from: present.action, to: rule.action },
    { what: "on_error", from: present.onError, to: rule.onError },
    { what: "query", from: present.query, to: rule.query },
  ];
  return compared.filter(({ from, to }) => from !== to);
}

const INSTALLED = `
select name,
       on_table::oid                              as "tableOid",
       format('%I.%I', table_schema, table_name) as "table",
       on_event                                  as event,
       query,
       on_error                                  as "onError",
       action
  from bellwire.rule_definitions
 order by name`;

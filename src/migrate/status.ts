import type { ClientBase } from "pg";
import { alignColumns } from "./columns.ts";
import { withConnection } from "./connect.ts";
import { type FileOptions, type MigrationFile, readFiles } from "./files.ts";
import { describeRule, type InstalledRule, readInstalledRules } from "./installed-rules.ts";
import { readRuleFindings } from "./rule-findings.ts";
import type { RuleFinding } from "./rule-meanings.ts";
import { type DatabaseState, type FunctionDrift, readSnapshot } from "./state.ts";
import { readTriggerNotes, type TriggerNote } from "./trigger-notes.ts";

export type Status = {
  versioned: { name: string; state: "applied" | "pending" | "edited" | "newer" }[];
  repeatable: { name: string; state: "current" | "changed" | "pending" }[];
  /** Only functions that differ from what migrate installed. */
  functions: FunctionDrift[];
  rules: InstalledRule[];
  ruleFindings: RuleFinding[];
  triggerNotes: TriggerNote[];
  roles: { name: string; state: "present" | "missing" }[];
  /** Something was changed by hand. A pending file is not drift. */
  drifted: boolean;
  /** What a person must do something about, a line each. Migrations that only a newer Bellwire knows are well. */
  needs: string[];
};

/** Compares the database with this code. Changes nothing. */
export async function status({ url, ...options }: FileOptions & { url: string }): Promise<Status> {
  const files = readFiles(options);
  return withConnection(url, async (client) => {
    const state = await readSnapshot(client);
    const versioned = compareVersioned(files, state);
    const rules = await readInstalledRules(client);
    const triggerNotes = await readTriggerNotes(client);
    const roles = await readRoles(client);
    await client.query("rollback");
    const ruleFindings = await readRuleFindings(
      client,
      files.filter(({ isFurther }) => isFurther),
    );
    const repeatable = compareRepeatable(files, state);
    const found = { versioned, repeatable, functions: state.drift, rules, ruleFindings };
    return { ...found, triggerNotes, roles, ...judge({ ...found, triggerNotes, roles }) };
  });
}

function judge({
  versioned,
  repeatable,
  functions,
  ruleFindings,
  triggerNotes,
  roles,
}: Omit<Status, "drifted" | "needs" | "rules">): Pick<Status, "drifted" | "needs"> {
  const drifted = functions.length > 0 || versioned.some(({ state }) => state === "edited");
  const isPending = [...versioned, ...repeatable].some(
    ({ state }) => state === "pending" || state === "changed",
  );
  const isRuleAmiss = ruleFindings.some(({ level }) => level !== "note");
  return {
    drifted,
    needs: [
      ...(isPending ? ["Files are pending or changed: run migrate."] : []),
      ...(roles.some(({ state }) => state === "missing")
        ? ["Roles are missing: run migrate."]
        : []),
      ...(isRuleAmiss ? ["Rules need a person, see above."] : []),
      ...(triggerNotes.length > 0 ? ["Triggers are broken, see above."] : []),
      ...(drifted
        ? [
            "Drift: the database was changed by hand. migrate restores edited and missing functions; drop unknown ones yourself.",
          ]
        : []),
    ],
  };
}

function compareVersioned(files: MigrationFile[], { history }: DatabaseState): Status["versioned"] {
  const known = files.filter(({ kind }) => kind === "versioned");
  const names = new Set(known.map(({ name }) => name));
  const newer = history.filter(({ name, kind }) => kind === "versioned" && !names.has(name));
  return [
    ...known.map(({ name, checksum }) => {
      const row = history.find((applied) => applied.name === name);
      if (!row) return { name, state: "pending" as const };
      return {
        name,
        state: row.checksum === checksum ? ("applied" as const) : ("edited" as const),
      };
    }),
    ...newer.map(({ name }) => ({ name, state: "newer" as const })),
  ];
}

function compareRepeatable(
  files: MigrationFile[],
  { history }: DatabaseState,
): Status["repeatable"] {
  return files
    .filter(({ kind }) => kind === "repeatable")
    .map(({ name, checksum }) => {
      const row = history.find((applied) => applied.name === name);
      if (!row) return { name, state: "pending" };
      return { name, state: row.checksum === checksum ? "current" : "changed" };
    });
}

async function readRoles(client: ClientBase): Promise<Status["roles"]> {
  const { rows } = await client.query<Status["roles"][number]>(
    `select name,
            case when to_regrole(name) is null then 'missing' else 'present' end as state
       from unnest(array['bellwire_owner', 'bellwire_rules', 'bellwire_service']) as name`,
  );
  return rows;
}

/** One line per item: its kind, its state, its name. */
export function formatStatus(status: Status): string {
  const rows = [
    ...status.versioned.map(({ name, state }) => ["versioned", state, name]),
    ...status.repeatable.map(({ name, state }) => ["repeatable", state, name]),
    ...status.functions.map(({ name, state }) => ["function", state, name]),
    ...status.rules.map((rule) => ["rule", describeRule(rule), rule.name]),
    ...status.ruleFindings.map((finding) => ["rule", finding.level, describeFinding(finding)]),
    ...status.triggerNotes.map(({ trigger, calls, role, grants }) => [
      "trigger",
      "broken",
      `${trigger}: ${role} may not call ${calls}. As the user who runs migrate: ${grants}`,
    ]),
    ...status.roles.map(({ name, state }) => ["role", state, name]),
  ];
  const verdict = [...(status.drifted ? [] : ["No drift."]), ...status.needs].join("\n");
  return `${alignColumns(rows).join("\n")}\n\n${verdict}\n`;
}

function describeFinding({ rule, seen, fix, level }: RuleFinding): string {
  return level === "note" ? `${rule}: ${seen}` : `${rule}: ${seen}. ${fix}`;
}

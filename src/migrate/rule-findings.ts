import type { ClientBase } from "pg";
import { compareRules, type RuleChange } from "./compare-rules.ts";
import { isDatabaseError } from "./error.ts";
import type { MigrationFile } from "./files.ts";
import { isBusy } from "./folder-rules.ts";
import { SETTINGS } from "./opening.ts";
import { explain, type RuleFinding, type Seen } from "./rule-meanings.ts";

/**
 * What is wrong with the installed rules; status, doctor and rules share it. With files, also what differs from the rules that they
 * define. It checks each query as define_rule() would, so that a rule that a renamed column has broken is reported before the next
 * write fires it. The check creates a view and a function, so it is rolled back. It needs membership of bellwire_owner, as
 * define_rule() does. The connection must have no open transaction.
 */
export async function readRuleFindings(
  client: ClientBase,
  files: readonly MigrationFile[] = [],
): Promise<RuleFinding[]> {
  const { rows } = await client.query<Able>(ABLE);
  const able = rows[0];
  if (!able?.installed) return [];
  const faults = able.read ? (await client.query<Seen>(FAULTS)).rows : [];
  if (!able.check) {
    const because = able.standby ? "this is a standby" : "membership of bellwire_owner is missing";
    return order([...faults, notChecked("(all)", because)].map(explain));
  }
  await client.query("begin isolation level read committed read write");
  try {
    await client.query(SETTINGS);
    const checked = await readChecked(client, new Set(faults.map(({ rule }) => rule)));
    const installed = [...faults, ...checked].map(explain);
    if (files.length === 0) return order(installed);
    return order([...installed, ...(await readFolderFindings(client, files, installed))]);
  } finally {
    await client.query("rollback");
  }
}

const LEVELS = ["broken", "look", "note"];

const order = (findings: RuleFinding[]) =>
  findings.sort(
    (a, b) =>
      LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) ||
      Number(a.rule > b.rule) - Number(a.rule < b.rule),
  );

const notChecked = (rule: string, because: string): Seen => ({
  rule,
  code: "not_checked",
  seen: `not checked: ${because}`,
});

/** What only a member of bellwire_owner may see. A rule that does not fire has one finding, and its query is not looked at. */
async function readChecked(client: ClientBase, faulty: ReadonlySet<string>): Promise<Seen[]> {
  const found = (await client.query<Seen>(ERRORS)).rows;
  const { rows } = await client.query<{ name: string; limits: string[] }>(DEFINITIONS);
  for (const { name: rule, limits } of rows) {
    found.push(...limits.map((seen) => ({ rule, code: "limited" as const, seen })));
    if (!faulty.has(rule)) found.push(...(await checkQuery(client, rule)));
  }
  return found;
}

/** How the files differ from what is installed. */
async function readFolderFindings(
  client: ClientBase,
  files: readonly MigrationFile[],
  installed: readonly RuleFinding[],
): Promise<RuleFinding[]> {
  try {
    const { changes, failures } = await compareRules(client, files, installed);
    const failed = failures.map(({ file, why }) => ({
      rule: file,
      code: "file_failed" as const,
      seen: why,
    }));
    return [...failed, ...changes.flatMap(toSeen)].map(explain);
  } catch (err) {
    if (!isDatabaseError(err) || !isBusy(err)) throw err;
    return [explain(notChecked("(the folder)", err.message))];
  }
}

function toSeen({ name: rule, state, file, differences, refusal }: RuleChange): Seen[] {
  const refused: Seen[] = refusal
    ? [{ rule, code: "file_failed", seen: `${file} defines it, but ${refusal}` }]
    : [];
  switch (state) {
    case "new":
      return [
        { rule, code: "not_installed", seen: `${file} defines it, and it is not installed` },
        ...refused,
      ];
    case "changed": {
      const what = differences.map(({ what }) => what).join(" and ");
      return [
        { rule, code: "differs", seen: `${file} defines it with another ${what}` },
        ...refused,
      ];
    }
    case "dropped":
      return [{ rule, code: "differs", seen: `${file} drops it, and it is installed` }];
    case "gone":
      return [{ rule, code: "not_in_folder", seen: "it is in no file of the folder" }];
    default:
      // What is wrong with an unchanged one is among the findings of the installed rules.
      return [];
  }
}

async function checkQuery(client: ClientBase, rule: string): Promise<Seen[]> {
  await client.query("savepoint look");
  try {
    const { rows } = await client.query<{ outdated: boolean }>(CHECK, [rule]);
    if (!rows[0]?.outdated) return [];
    const seen = "the types of its columns have changed since it was defined";
    return [{ rule, code: "function_outdated", seen }];
  } catch (err) {
    if (!isDatabaseError(err)) throw err;
    const said = err.message.replace(`rule "${rule}": `, "");
    if (isBusy(err)) return [notChecked(rule, said)];
    return [{ rule, code: "query_unfit", seen: said, ...(err.hint && { fix: err.hint }) }];
  } finally {
    await client.query("rollback to savepoint look");
  }
}

type Able = { installed: boolean; read: boolean; check: boolean; standby: boolean };

const ABLE = `
select to_regclass('bellwire.rule_faults') is not null as installed,
       coalesce(has_table_privilege(to_regclass('bellwire.rule_faults'), 'select'), false) as read,
       pg_is_in_recovery() as standby,
       not pg_is_in_recovery()
         and to_regrole('bellwire_owner') is not null
         and pg_has_role(to_regrole('bellwire_owner'), 'usage') as check`;

const FAULTS = "select rule, code, seen from bellwire.rule_faults";

/** A session counts its errors in one row, so older ones may be among them. A rule that was defined again begins anew. */
const ERRORS = `
select e.rule,
       'failing' as code,
       format(
         '%s errors since %s, the last at %s%s: %s',
         sum(e.errors),
         to_char(min(e.first_at), 'YYYY-MM-DD HH24:MI'),
         to_char(max(e.last_at), 'YYYY-MM-DD HH24:MI'),
         ' for the row ' || (array_agg(e.keys[cardinality(e.keys)] order by e.last_at desc))[1],
         (array_agg(e.sqlstate || ' ' || e.message order by e.last_at desc))[1]
       ) as seen
  from bellwire.rule_error_log e
  join bellwire.rule_definitions d on d.name = e.rule
 where e.last_at > greatest(now() - interval '1 day', d.defined_at)
 group by e.rule`;

const DEFINITIONS = `
select d.name,
       array(select bellwire.rule_limits(c.oid)) as limits
  from bellwire.rule_definitions d
  join pg_class c on c.oid = d.on_table
 order by d.name`;

/** Compares only what was not edited by hand: rule_faults says that. */
const CHECK = `
select bellwire.rule_body(d.name, d.query, checked.columns, checked.typed, d.on_error, d.on_event, d.action) <> p.prosrc as outdated
  from bellwire.rule_definitions d
  join pg_proc p on p.oid = to_regprocedure(d.function)
 cross join bellwire.check_rule_query(d.name, d.on_table, d.on_event, d.query, d.action) as checked
 where d.name = $1`;

import type { ClientBase } from "pg";
import { isDatabaseError, SQLSTATE } from "./error.ts";
import { SETTINGS } from "./opening.ts";

/** A note about a rule for the operator. A broken rule fails at the next write, or never fires again. */
export type RuleNote = { rule: string; note: string; isBroken: boolean };

type Definition = { name: string; place: "here" | "no table" | "no trigger"; limits: string[] };

/**
 * Checks each rule's query as define_rule() would, so that a rule that a renamed column has broken is reported before the next write
 * fires it. The check creates a view and a function, so it is rolled back. Like define_rule() it needs membership of
 * bellwire_owner; without that, one note says that the rules were not checked. The connection must have no open transaction.
 */
export async function readRuleNotes(client: ClientBase): Promise<RuleNote[]> {
  const { rows: able } = await client.query<{ rules: boolean; check: boolean }>(ABLE);
  if (!able[0]?.rules) return [];
  if (!able[0].check) {
    return [
      {
        rule: "(all)",
        note: "not checked: that needs membership of bellwire_owner",
        isBroken: false,
      },
    ];
  }
  await client.query("begin isolation level read committed read write");
  try {
    await client.query(SETTINGS);
    const { rows } = await client.query<Definition>(DEFINITIONS);
    const notes: RuleNote[] = [];
    for (const { name: rule, place, limits } of rows) {
      notes.push(...limits.map((note) => ({ rule, note, isBroken: false })));
      if (place !== "here") notes.push({ rule, note: GONE[place], isBroken: true });
      else notes.push(...(await checkQuery(client, rule)));
    }
    return notes;
  } finally {
    await client.query("rollback");
  }
}

async function checkQuery(client: ClientBase, rule: string): Promise<RuleNote[]> {
  await client.query("savepoint look");
  try {
    await client.query(CHECK, [rule]);
    return [];
  } catch (err) {
    if (!isDatabaseError(err)) throw err;
    const isBusy = err.code === SQLSTATE.lockNotAvailable || err.code === SQLSTATE.internalError;
    const said = err.message.replace(`rule "${rule}": `, "");
    if (isBusy) return [{ rule, note: `not checked this time: ${said}`, isBroken: false }];
    return [{ rule, note: err.hint ? `${said}. ${err.hint}` : said, isBroken: true }];
  } finally {
    await client.query("rollback to savepoint look");
  }
}

const GONE = {
  "no table": "its table was dropped. Define the rule on the new table, or drop the rule",
  "no trigger": "its trigger was dropped. Define the rule again, or drop it",
};

const ABLE = `
select to_regprocedure('bellwire.rule_limits(regclass)') is not null as rules,
       to_regrole('bellwire_owner') is not null
         and pg_has_role(to_regrole('bellwire_owner'), 'usage')      as check`;

const DEFINITIONS = `
select d.name,
       case
         when c.oid is null then 'no table'
         when not exists (
                select from pg_trigger t where t.tgrelid = c.oid and t.tgfoid = to_regprocedure(d.function)
              ) then 'no trigger'
         else 'here'
       end as place,
       case when c.oid is null then '{}' else array(select bellwire.rule_limits(d.on_table)) end as limits
  from bellwire.rule_definitions d
  left join pg_class c on c.oid = d.on_table
 order by d.name`;

const CHECK = `
select bellwire.check_rule_query(d.name, d.on_table, d.on_event, d.query, d.action)
  from bellwire.rule_definitions d
 where d.name = $1`;

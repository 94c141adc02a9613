import type { ClientBase } from "pg";
import { isDatabaseError, SQLSTATE } from "./error.ts";
import { SETTINGS } from "./opening.ts";

/** Something about one rule for the operator. `seen` continues a sentence that names the rule. */
export type RuleFinding = {
  rule: string;
  /** Stable, so that a script may rely on it. */
  code: RuleCode;
  /** `broken`: it does not tell whom it should. `look`: a person should decide. `note`: nothing has to be done. */
  level: "broken" | "look" | "note";
  seen: string;
  why: string;
  fix: string;
};

export type RuleCode = keyof typeof MEANINGS;

type Seen = { rule: string; code: RuleCode; seen: string; fix?: string };

const APPLY = "Run bellwire rules apply DIR, or define the rule again.";
const TELLS_NOBODY = "The rule tells nobody.";

/** The codes up to `table_attached` are those of bellwire.rule_faults. */
const MEANINGS = {
  table_dropped: {
    level: "broken",
    why: TELLS_NOBODY,
    fix: "Define the rule on another table, or drop it: select bellwire.drop_rule('NAME');",
  },
  table_recreated: { level: "broken", why: TELLS_NOBODY, fix: APPLY },
  table_swapped: {
    level: "broken",
    why: "The rule fires for the old table, and not for the new one.",
    fix: APPLY,
  },
  trigger_missing: { level: "broken", why: TELLS_NOBODY, fix: APPLY },
  trigger_disabled: {
    level: "look",
    why: "Somebody did that on purpose; until it is enabled, the rule tells nobody.",
    fix: "Enable the trigger (alter table … enable trigger …), or drop the rule: select bellwire.drop_rule('NAME');",
  },
  function_edited: {
    level: "broken",
    why: "The rule does not do what its query says.",
    fix: APPLY,
  },
  function_owner: {
    level: "broken",
    why: "The rule skips every write with a warning, because it may run as bellwire_rules only.",
    fix: APPLY,
  },
  table_attached: {
    level: "broken",
    why: "A statement trigger fires only for statements that name its own table.",
    fix: "Define the rule on the whole table, in its file too.",
  },
  query_unfit: {
    level: "broken",
    why: "The rule fails at the next write.",
    fix: "Correct the query and define the rule again.",
  },
  function_outdated: {
    level: "broken",
    why: "The rule compares ids by the types that its columns had, so it may fail.",
    fix: APPLY,
  },
  failing: {
    level: "look",
    why: "Whom these writes concern was not told.",
    fix: "Correct the cause. Then forget the errors: delete from bellwire.rule_error_log where rule = 'NAME';",
  },
  limited: {
    level: "note",
    why: "A statement trigger fires only for statements that name its own table.",
    fix: "Nothing, if no statement does that.",
  },
  not_checked: {
    level: "note",
    why: "What is wrong with it would not be seen.",
    fix: "Run the command again, as a member of bellwire_owner, on the primary.",
  },
} as const satisfies Record<string, Pick<RuleFinding, "level" | "why" | "fix">>;

/**
 * What is wrong with the installed rules; status, doctor and rules share it. It checks each query as define_rule() would, so that a
 * rule that a renamed column has broken is reported before the next write fires it. The check creates a view and a function, so it is
 * rolled back. It needs membership of bellwire_owner, as define_rule() does. The connection must have no open transaction.
 */
export async function readRuleFindings(client: ClientBase): Promise<RuleFinding[]> {
  const { rows } = await client.query<Able>(ABLE);
  const able = rows[0];
  if (!able?.installed) return [];
  const faults = able.read ? (await client.query<Seen>(FAULTS)).rows : [];
  const other = able.check
    ? await readChecked(client, new Set(faults.map(({ rule }) => rule)))
    : [
        notChecked(
          "(all)",
          able.standby ? "this is a standby" : "membership of bellwire_owner is missing",
        ),
      ];
  return [...faults, ...other]
    .map(explain)
    .sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level) || compare(a.rule, b.rule));
}

const LEVELS = ["broken", "look", "note"];
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

const notChecked = (rule: string, because: string): Seen => ({
  rule,
  code: "not_checked",
  seen: `not checked: ${because}`,
});

function explain({ rule, code, seen, fix }: Seen): RuleFinding {
  const { level, why, fix: usual } = MEANINGS[code];
  const literal = rule.replaceAll("'", "''");
  return { rule, code, level, seen, why, fix: fix ?? usual.replace("NAME", () => literal) };
}

/** What only a member of bellwire_owner may see. A rule that does not fire has one finding, and its query is not looked at. */
async function readChecked(client: ClientBase, faulty: ReadonlySet<string>): Promise<Seen[]> {
  await client.query("begin isolation level read committed read write");
  try {
    await client.query(SETTINGS);
    const found = (await client.query<Seen>(ERRORS)).rows;
    const { rows } = await client.query<{ name: string; limits: string[] }>(DEFINITIONS);
    for (const { name: rule, limits } of rows) {
      found.push(...limits.map((seen) => ({ rule, code: "limited" as const, seen })));
      if (!faulty.has(rule)) found.push(...(await checkQuery(client, rule)));
    }
    return found;
  } finally {
    await client.query("rollback");
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
    const isBusy = err.code === SQLSTATE.lockNotAvailable || err.code === SQLSTATE.internalError;
    const said = err.message.replace(`rule "${rule}": `, "");
    if (isBusy) return [notChecked(rule, said)];
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

/** A session counts its errors in one row, so the errors before the last day may be among them. What was defined again begins anew. */
const ERRORS = `
select e.rule,
       'failing' as code,
       format(
         '%s errors since %s, the last at %s: %s',
         sum(e.errors),
         to_char(min(e.first_at), 'YYYY-MM-DD HH24:MI'),
         to_char(max(e.last_at), 'YYYY-MM-DD HH24:MI'),
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

import type { ClientBase } from "pg";
import { SETTINGS } from "./opening.ts";
import { FUNCTIONS } from "./settle.ts";

/** A function that differs from what migrate installed: edited, dropped, or added by hand. */
export type FunctionDrift = { name: string; state: "edited" | "missing" | "unknown" };

export type HistoryRow = {
  name: string;
  kind: "versioned" | "repeatable";
  checksum: string;
  appliedAt: Date;
};

/** What a database has installed. */
export type DatabaseState = {
  history: HistoryRow[];
  /** Objects in schema bellwire although the history is empty. */
  strays: string[];
  drift: FunctionDrift[];
  /** Rules that their file would mend: the table was dropped and created again, or the trigger is gone. */
  lostRules: string[];
};

/** Reads the state for plan and status, in one read-only snapshot. */
export async function readSnapshot(client: ClientBase): Promise<DatabaseState> {
  await client.query("begin isolation level repeatable read read only");
  await client.query(SETTINGS);
  return readState(client);
}

/** The returned names depend on search_path, so every caller applies SETTINGS first. */
export async function readState(client: ClientBase): Promise<DatabaseState> {
  const { rows } = await client.query<{ ours: boolean; rules: boolean; faults: boolean }>(
    `select to_regclass('bellwire.schema_history') is not null   as ours,
            to_regclass('bellwire.rule_definitions') is not null as rules,
            to_regclass('bellwire.rule_faults') is not null      as faults`,
  );
  const history = rows[0]?.ours ? await client.query<HistoryRow>(HISTORY) : { rows: [] };
  const strays =
    history.rows.length === 0 ? await client.query<{ name: string }>(STRAYS) : { rows: [] };
  const functions = rows[0]?.ours ? await client.query<FunctionDrift>(DRIFT) : { rows: [] };
  const rules = rows[0]?.rules ? await client.query<FunctionDrift>(RULE_DRIFT) : { rows: [] };
  const lost = rows[0]?.faults ? await client.query<{ rule: string }>(LOST_RULES) : { rows: [] };
  return {
    history: history.rows,
    strays: strays.rows.map(({ name }) => name),
    drift: [...functions.rows, ...rules.rows],
    lostRules: lost.rows.map(({ rule }) => rule),
  };
}

const HISTORY = `
select name, kind, checksum, applied_at as "appliedAt"
  from bellwire.schema_history
 order by name collate "C"`;

const STRAYS = `
select oid::regclass::text as name
  from pg_class
 where relnamespace = to_regnamespace('bellwire')
   and relkind in ('r', 'p', 'v', 'm')
   and relname not in ('schema_history', 'schema_functions')
union all
select oid::regprocedure::text
  from pg_proc
 where pronamespace = to_regnamespace('bellwire')
 order by 1`;

const DRIFT = `
select name,
       case
         when installed.checksum is null then 'unknown'
         when present.checksum is null   then 'missing'
         else 'edited'
       end as state
  from bellwire.schema_functions installed
  full join (${FUNCTIONS}) present using (name)
 where installed.checksum is distinct from present.checksum
 order by name`;

const RULE_DRIFT = `
select d.function as name,
       case when p.oid is null then 'missing' else 'edited' end as state
  from bellwire.rule_definitions d
  left join pg_proc p on p.oid = to_regprocedure(d.function)
 where md5(p.prosrc) is distinct from d.checksum
 order by d.name`;

const LOST_RULES = `
select rule
  from bellwire.rule_faults
 where code in ('table_recreated', 'table_swapped', 'trigger_missing')`;

import type { ClientBase } from "pg";
import pg from "pg";
import { describeFailure, isDatabaseError, SQLSTATE } from "./error.ts";
import type { MigrationFile } from "./files.ts";
import { SETTINGS } from "./opening.ts";

/** A rule as the last call for it in a folder defines it. */
export type FolderRule = {
  name: string;
  file: string;
  isDropped: boolean;
  tableOid: number;
  /** As in bellwire.rule_definitions. */
  table: string;
  event: string;
  query: string;
  onError: string;
  action: string;
  /** What define_rule() would say against it. */
  refusal: string | null;
};

export type FolderRules = { rules: FolderRule[]; failures: { file: string; why: string }[] };

/**
 * Finds which rules a folder's files define, without changing anything. It runs the files with two functions that only take notes in
 * place of define_rule() and drop_rule(), and rolls everything back. So a file may compute its rules, and no table of the
 * application is locked, unless a file does that itself. Needs an open transaction, of a member of bellwire_owner.
 */
export async function readFolderRules(
  client: ClientBase,
  files: readonly MigrationFile[],
): Promise<FolderRules> {
  const failures: FolderRules["failures"] = [];
  await client.query("savepoint folder");
  try {
    await client.query(TAKE_NOTES);
    for (const file of files) {
      await client.query("savepoint file");
      try {
        // A comparison must not hold up writers that queue behind a lock which a file waits for.
        await client.query(`${SETTINGS}
set local lock_timeout = '1s';
set local bellwire.noting_file = ${pg.escapeLiteral(file.name)}`);
        await client.query(runWithin(file.sql));
      } catch (err) {
        if (!isDatabaseError(err) || isBusy(err)) throw err;
        failures.push({ file: file.name, why: describe(err, file) });
        await client.query("rollback to savepoint file");
      }
    }
    await client.query(SETTINGS);
    const { rows } = await client.query<FolderRule>(NOTES);
    return { rules: rows, failures };
  } finally {
    await client.query("rollback to savepoint folder");
  }
}

/** Another session changes the same functions, or holds a lock that a file needs. */
export function isBusy(err: pg.DatabaseError): boolean {
  return err.code === SQLSTATE.lockNotAvailable || err.code === SQLSTATE.internalError;
}

/** Without the block around the file. */
function describe(err: pg.DatabaseError, file: MigrationFile): string {
  const lines = describeFailure(err, file).message.split("\n");
  return lines.filter((line) => !/^In .+inline_code_block|^Nothing was/.test(line)).join("\n");
}

/** In a block, because EXECUTE refuses a commit: that would make the two functions permanent. */
function runWithin(sql: string): string {
  return `do ${pg.escapeLiteral(`begin execute ${pg.escapeLiteral(sql)}; end`)}`;
}

/** The refusal is found at once, while what the file has granted or created is there. */
const TAKE_NOTES = `${SETTINGS}
set local bellwire.noted_rules = '[]';
create or replace function bellwire.define_rule(
  name text, on_table regclass, on_event text, query text, on_error text default 'record', action text default 'notify'
)
  returns void
  language plpgsql
as $note$
declare
  refusal text;
begin
  begin
    perform bellwire.check_rule_query(define_rule.name, on_table, on_event, query, action);
  exception
    when lock_not_available or internal_error then
      raise;
    when others then
      get stacked diagnostics refusal = message_text;
      refusal := pg_catalog.replace(refusal, pg_catalog.format('rule "%s": ', define_rule.name), '');
  end;
  perform pg_catalog.set_config(
    'bellwire.noted_rules',
    (pg_catalog.current_setting('bellwire.noted_rules')::jsonb || pg_catalog.jsonb_build_object(
       'name', define_rule.name, 'oid', on_table::oid::bigint, 'event', on_event, 'query', query, 'on_error', on_error,
       'action', action, 'refusal', refusal, 'file', pg_catalog.current_setting('bellwire.noting_file'),
       'table', (
         select pg_catalog.format('%I.%I', n.nspname, c.relname)
           from pg_catalog.pg_class c
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where c.oid = on_table
       )
     ))::text,
    true
  );
end;
$note$;
create or replace function bellwire.drop_rule(name text)
  returns void
  language plpgsql
as $note$
begin
  if not exists (select from bellwire.rule_definitions d where d.name = drop_rule.name)
     and not pg_catalog.current_setting('bellwire.noted_rules')::jsonb @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('name', drop_rule.name))
  then
    raise exception 'there is no rule "%"', drop_rule.name;
  end if;
  perform pg_catalog.set_config(
    'bellwire.noted_rules',
    (pg_catalog.current_setting('bellwire.noted_rules')::jsonb || pg_catalog.jsonb_build_object(
       'name', drop_rule.name, 'dropped', true, 'file', pg_catalog.current_setting('bellwire.noting_file')
     ))::text,
    true
  );
end;
$note$;`;

const NOTES = `
select distinct on (r.rule ->> 'name')
       r.rule ->> 'name'                               as name,
       r.rule ->> 'file'                               as file,
       coalesce((r.rule ->> 'dropped')::boolean, false) as "isDropped",
       (r.rule ->> 'oid')::oid                         as "tableOid",
       r.rule ->> 'table'                              as "table",
       r.rule ->> 'event'                              as event,
       r.rule ->> 'query'                              as query,
       r.rule ->> 'on_error'                           as "onError",
       r.rule ->> 'action'                             as action,
       r.rule ->> 'refusal'                            as refusal
  from jsonb_array_elements(current_setting('bellwire.noted_rules')::jsonb) with ordinality as r (rule, position)
 order by r.rule ->> 'name', r.position desc`;

import pg from "pg";

/**
 * With no schema but pg_catalog to find things in, a file that works here works in anybody's psql too. The others are in the
 * text of functions that is compared with what migrate installed: in the quotes of names and the constants of parsed bodies.
 */
const READING = `set local search_path = pg_catalog, pg_temp;
set local standard_conforming_strings = on;
set local quote_all_identifiers = off;
set local datestyle = iso;
set local intervalstyle = postgres;
set local timezone = 'UTC';
set local extra_float_digits = 1;
set local bytea_output = hex;`;

/** What every file starts from, whatever the one before it has set. */
export const SETTINGS = `${READING}
set local lock_timeout = '5s';`;

/**
 * Opens the one transaction and waits for any other run; after it the history can be read. What waits is a lock of the
 * history, which takes a right to write it; an advisory lock anybody who may connect could hold. Of two first runs the second waits
 * for the first to have made the schema or the history.
 */
export function createOpening(user: string): string {
  return `-- Read committed, so that after the wait we see what the other run did. No time limits yet: a second
-- migrate waits for the first however long it takes, and finds nothing left to do.
begin isolation level read committed read write;
set local statement_timeout = 0;
set local lock_timeout = 0;
${READING}
${createPrerequisites(user)}
do $$
begin
  if to_regclass('bellwire.schema_history') is null then
    create table bellwire.schema_history (
      name       text        not null,
      kind       text        not null,
      checksum   text        not null,
      applied_at timestamptz not null default clock_timestamp(),
      applied_by text        not null default session_user,
      version    text        not null,
      constraint schema_history_pkey primary key (name),
      constraint schema_history_kind_check check (kind in ('versioned', 'repeatable'))
    );
    comment on table bellwire.schema_history is
      'Which migration files this database has. Kept by migrate; checksum is sha256 of the file.';
    create table bellwire.schema_functions (
      name     text not null,
      checksum text not null,
      constraint schema_functions_pkey primary key (name)
    );
    comment on table bellwire.schema_functions is
      'The functions as migrate installed them (md5 of pg_get_functiondef), so that edits by hand are seen.';
    alter table bellwire.schema_history owner to bellwire_owner;
    alter table bellwire.schema_functions owner to bellwire_owner;
  end if;
exception
  when duplicate_table or duplicate_object or unique_violation then null;
end
$$;
lock table bellwire.schema_history in share row exclusive mode;
grant usage on schema bellwire to bellwire_service;
grant select on bellwire.schema_history to bellwire_service;
`;
}

/**
 * What has to be there first. Where `user` may not do this, an administrator runs the same text once.
 * Roles belong to the cluster, so a migrate in another database may be creating them right now.
 */
export function createPrerequisites(user: string): string {
  const [name, literal] = [pg.escapeIdentifier(user), pg.escapeLiteral(user)];
  return `do $prerequisites$
declare
  wanted text;
begin
  foreach wanted in array array['bellwire_owner', 'bellwire_rules', 'bellwire_service'] loop
    if to_regrole(wanted) is null then
      begin
        execute format('create role %I nologin', wanted);
      exception
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
  -- Every function that is SECURITY DEFINER runs as the first, rules as the second.
  foreach wanted in array array['bellwire_owner', 'bellwire_rules'] loop
    if exists (select from pg_roles where rolname = wanted and (rolsuper or rolcanlogin)) then
      raise exception '% is a superuser or may log in, and its functions would run as that; '
                      'as an administrator: alter role % nosuperuser nologin;', wanted, wanted
        using errcode = 'invalid_role_specification';
    end if;
  end loop;
  -- So whoever may define a rule may write its function and look at its query. Not the other way round.
  if not pg_has_role('bellwire_owner', 'bellwire_rules', 'usage') then
    begin
      grant bellwire_rules to bellwire_owner;
    exception
      when unique_violation then null;
    end;
  end if;
  if not pg_has_role(${literal}, 'bellwire_owner', 'usage') then
    begin
      grant bellwire_owner to ${name};
    exception
      when unique_violation then null;
    end;
  end if;
  if to_regnamespace('bellwire') is null then
    begin
      create schema bellwire authorization bellwire_owner;
    exception
      when duplicate_schema or unique_violation then null;
    end;
  end if;
end
$prerequisites$;`;
}

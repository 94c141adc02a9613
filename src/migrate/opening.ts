import pg from "pg";

/**
 * With only pg_catalog in the search path, a file that works here also works in any psql. The other settings are fixed because they
 * change how the server prints functions (quoted names, constants of parsed bodies). migrate compares that text with what it
 * installed.
 */
const READING = `set local search_path = pg_catalog, pg_temp;
set local standard_conforming_strings = on;
set local quote_all_identifiers = off;
set local datestyle = iso;
set local intervalstyle = postgres;
set local timezone = 'UTC';
set local extra_float_digits = 1;
set local bytea_output = hex;`;

/** The settings at the start of each file, because the file before it may have changed them. */
export const SETTINGS = `${READING}
set local lock_timeout = '5s';`;

/**
 * Opens the transaction and waits until no other run is working; then the history can be read. It waits for a lock of the history
 * table, which only a role that may write the table can hold. Any role that may connect could hold an advisory lock. If two first
 * runs start at once, the second waits until the first has created the schema or the history.
 */
export function createOpening(user: string): string {
  return `-- Read committed, so that after the wait this run sees what the other run did. No timeouts yet: a second
-- migrate waits until the first has ended, and then has nothing to do.
begin isolation level read committed read write;
set local statement_timeout = 0;
set local lock_timeout = 0;
${READING}
${createPrerequisites(user)}
${HISTORY}`;
}

/** The history, and the lock that lets only one run at a time work. */
export const HISTORY = `do $$
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
      'Which migration files this database has. Written by migrate; checksum is the sha256 of the file.';
    create table bellwire.schema_functions (
      name     text not null,
      checksum text not null,
      constraint schema_functions_pkey primary key (name)
    );
    comment on table bellwire.schema_functions is
      'The functions as migrate installed them (md5 of pg_get_functiondef), to find those that were edited by hand.';
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

/**
 * The roles and the schema that must exist first, for `user`, or without one for the role that runs it. If `user` lacks the right to
 * create them, an administrator runs the same SQL once. Roles belong to the cluster, so a migrate in another database may create them
 * at the same time.
 */
export function createPrerequisites(user?: string): string {
  const login = user === undefined ? "current_user" : pg.escapeLiteral(user);
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
  -- All SECURITY DEFINER functions run as bellwire_owner, and rules run as bellwire_rules.
  foreach wanted in array array['bellwire_owner', 'bellwire_rules'] loop
    if exists (select from pg_roles where rolname = wanted and (rolsuper or rolcanlogin)) then
      raise exception '% is a superuser or may log in, and its functions would have these rights; '
                      'as an administrator: alter role % nosuperuser nologin;', wanted, wanted
        using errcode = 'invalid_role_specification';
    end if;
  end loop;
  -- bellwire_owner is a member of bellwire_rules, so that a role that defines a rule may also write its function and check its
  -- query. bellwire_rules is not a member of bellwire_owner.
  if not pg_has_role('bellwire_owner', 'bellwire_rules', 'usage') then
    begin
      grant bellwire_rules to bellwire_owner;
    exception
      when unique_violation then null;
    end;
  end if;
  -- A role may be set not to inherit rights: from PG 16 a grant overrides that, before it nothing does.
  if not pg_has_role(${login}, 'bellwire_owner', 'usage') then
    begin
      execute 'grant bellwire_owner to ' || quote_ident(${login})
              || case when current_setting('server_version_num')::int >= 160000 then ' with inherit true' else '' end;
    exception
      when unique_violation then null;
    end;
    if not pg_has_role(${login}, 'bellwire_owner', 'usage') then
      raise exception '% does not inherit rights; as an administrator: alter role % inherit;', ${login}, quote_ident(${login})
        using errcode = 'invalid_role_specification';
    end if;
  end if;
  if to_regnamespace('bellwire') is null then
    begin
      -- An administrator who is no superuser may give a schema only to a role that he is a member of.
      if not pg_has_role('bellwire_owner', 'usage') then
        grant bellwire_owner to current_user;
      end if;
      create schema bellwire authorization bellwire_owner;
    exception
      when duplicate_schema or unique_violation then null;
    end;
  end if;
end
$prerequisites$;`;
}

import type { ClientBase } from "pg";
import { LIMITS } from "../../db/session-limits.ts";
import { type Finding, look, well } from "../finding.ts";
import { ident } from "./quote.ts";

/** What docs/dba.md gives the service's login. */
const VALUES: Record<string, string> = {
  idle_in_transaction_session_timeout: "10s",
  lock_timeout: "8s",
  statement_timeout: "10s",
};

interface Login {
  user: string;
  missing: string[];
}

/**
 * The limits of the service's logins: that of DATABASE_URL, and those of running services. Who owns Bellwire or the cluster has none: a
 * migration may take long.
 */
export async function checkLimits(client: ClientBase): Promise<Finding[]> {
  const { rows: own } = await client.query<Login & { idleTimeout: string }>(OWN, [LIMITS]);
  const { rows: others } = await client.query<Login>(OTHERS, [LIMITS]);
  const logins = [...own, ...others];
  const found = logins.filter(({ missing }) => missing.length > 0).map(describeMissing);
  for (const { user, idleTimeout } of own)
    if (idleTimeout !== "0")
      found.push(
        look("limits", {
          seen: `idle_session_timeout is ${idleTimeout} for ${user}`,
          why: "It ends the LISTEN connection again and again; until the next one, rows wait for the sweep.",
          fix: `As an administrator: alter role ${ident(user)} set idle_session_timeout = 0;`,
        }),
      );
  if (found.length > 0 || logins.length === 0) return found;
  const users = logins.map(({ user }) => user).join(", ");
  return [well("limits", `the sessions of ${users} cannot hang for long`)];
}

const describeMissing = ({ user, missing }: Login): Finding =>
  look("limits", {
    seen: `${user} has no ${missing.join(", ")}`,
    why: "A session of the service that hangs keeps its locks, and others wait for it.",
    fix: `As an administrator: ${missing.map((name) => `alter role ${ident(user)} set ${name} = '${VALUES[name]}';`).join(" ")} Then restart the service.`,
  });

/** No row for a login with more rights. `reset_val`: doctor's own limits are local to its transaction. */
const OWN = `
select current_user as "user",
       array(select name from pg_settings where name = any ($1) and reset_val = '0' order by name) as missing,
       current_setting('idle_session_timeout') as "idleTimeout"
  from pg_roles
 where rolname = session_user
   and session_user = current_user
   and not rolsuper
   and not pg_has_role(oid, to_regrole('bellwire_owner'), 'member')`;

/** What was set for their role, for the database or for both, or for the whole server. */
const OTHERS = `
select r.rolname as "user",
       array(
         select server.name
           from pg_settings server
          where server.name = any ($1)
            and server.reset_val = '0'
            and not exists (
                  select
                    from pg_db_role_setting s
                   cross join unnest(s.setconfig) as given
                   where s.setrole in (0, r.oid)
                     and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
                     and starts_with(given, server.name || '=')
                     and given <> server.name || '=0'
                )
          order by server.name
       ) as missing
  from pg_roles r
 where r.rolname in (
         select usename
           from pg_stat_activity
          where datname = current_database()
            and application_name = 'bellwire listener'
       )
   and r.rolname <> session_user
   and not r.rolsuper
   and not pg_has_role(r.oid, to_regrole('bellwire_owner'), 'member')
 order by r.rolname`;

import type { ClientBase } from "pg";
import { broken, type Finding, well } from "../finding.ts";
import { whoMayGrant } from "./grantors.ts";
import { ident } from "./quote.ts";

interface Login {
  user: string;
  /** Bellwire's owner may do all that the service does. */
  isOwner: boolean;
  isMember: boolean;
  inherits: boolean;
}

/** Whether the login of DATABASE_URL may do what the service does. */
export async function checkRights(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<Login>(LOGIN);
  const [login] = rows;
  if (!login) throw new Error("a select without from returned no row");
  const user = ident(login.user);
  if (login.isMember && !login.inherits && !login.isOwner)
    return [
      broken("rights", {
        seen: `${login.user} is a member of bellwire_service, but does not inherit its rights`,
        why: "The service does not start, because it may not read Bellwire's tables.",
        fix: `As an administrator: alter role ${user} inherit; and on PostgreSQL 16 or newer also: grant bellwire_service to ${user} with inherit true;`,
      }),
    ];
  if (!login.isMember && !login.isOwner)
    return [
      broken("rights", {
        seen: `${login.user} may not use Bellwire, because it is not a member of bellwire_service`,
        why: "With this login in DATABASE_URL the service does not start.",
        fix: `As ${await whoMayGrant(client, "bellwire_service")}: grant bellwire_service to ${user};`,
      }),
    ];
  const { rows: lacking } = await client.query<{ what: string; grant: string }>(LACKING);
  if (lacking.length === 0) return [well("rights", `${login.user} may do what the service does`)];
  return [
    broken("rights", {
      seen: `bellwire_service has lost rights: ${lacking.map(({ what }) => what).join(", ")}`,
      why: "Requests that need them get 500.",
      fix: `As a member of bellwire_owner: ${lacking.map(({ grant }) => grant).join(" ")}`,
    }),
  ];
}

const LOGIN = `
select current_user as "user",
       pg_has_role(to_regrole('bellwire_service'), 'member') as "isMember",
       pg_has_role(to_regrole('bellwire_service'), 'usage')  as inherits,
       pg_has_role(to_regrole('bellwire_owner'), 'usage')    as "isOwner"`;

/** The grants of sql/internal/service_rights.sql, and the functions that the service calls itself. */
const LACKING = `
select 'use of the schema' as what,
       'grant usage on schema bellwire to bellwire_service;' as grant
  from pg_namespace
 where nspname = 'bellwire'
   and not has_schema_privilege('bellwire_service', oid, 'usage')
union all
select format('reading bellwire.%s', relname),
       format('grant select on bellwire.%s to bellwire_service;', relname)
  from pg_class
 where relnamespace = (select oid from pg_namespace where nspname = 'bellwire')
   and relname in ('notifications', 'preferences', 'revocations', 'removals', 'retention', 'mark_alls',
                   'schema_history', 'rules', 'rule_errors', 'rule_faults', 'wakeups_suspended_for_good')
   and not has_table_privilege('bellwire_service', oid, 'select')
union all
select 'marking notifications',
       'grant update (seen_at, read_at, archived_at) on bellwire.notifications to bellwire_service;'
  from pg_attribute
 where attrelid = (
         select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'bellwire' and c.relname = 'notifications'
       )
   and attname = 'read_at'
   and not has_column_privilege('bellwire_service', attrelid, attnum, 'update')
union all
select format('bellwire.%s()', proname),
       format('grant execute on function bellwire.%s to bellwire_service;', proname)
  from pg_proc
 where pronamespace = (select oid from pg_namespace where nspname = 'bellwire')
   and proname in ('changes_since', 'changes_for', 'new_rows_since', 'mark_all', 'issue_ticket', 'redeem_ticket',
                   'mute_types', 'prune', 'suspend_wakeups_for', 'epoch')
   and not has_function_privilege('bellwire_service', oid, 'execute')`;

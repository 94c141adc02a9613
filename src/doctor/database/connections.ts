import type { ClientBase } from "pg";
import { broken, type Finding, look, well } from "../finding.ts";
import { ident } from "./quote.ts";

/** Besides the pool: three for the feed, its own session, and the one that listens. */
const FURTHER = 5;
/** With so few left, an administrator or a second service finds no place. */
const FEW = 3;

interface Counts {
  user: string;
  database: string;
  roleLimit: number;
  databaseLimit: number;
  used: number;
  places: number;
  services: number;
  largest: string | null;
}

/** Whether the server has the connections that a service takes. */
export async function checkConnections(client: ClientBase, poolSize: number): Promise<Finding[]> {
  const { rows } = await client.query<Counts>(COUNTS);
  const [counts] = rows;
  if (!counts) throw new Error("a select without from returned no row");
  const wanted = poolSize + FURTHER;
  const { user, database, roleLimit, databaseLimit, used, places, services, largest } = counts;
  const found: Finding[] = [];
  const why = `A service takes up to ${wanted} connections: DATABASE_POOL_SIZE (${poolSize}) and ${FURTHER} more. Without one, requests get 503.`;
  if (roleLimit >= 0 && roleLimit < wanted)
    found.push(
      look("connections", {
        seen: `${user} may have only ${roleLimit} connections`,
        why,
        fix: `As an administrator: alter role ${ident(user)} connection limit ${wanted}; for each service that runs at a time. Or lower DATABASE_POOL_SIZE.`,
      }),
    );
  if (databaseLimit >= 0 && databaseLimit < wanted)
    found.push(
      look("connections", {
        seen: `database ${database} takes only ${databaseLimit} connections`,
        why,
        fix: `As an administrator: alter database ${ident(database)} connection limit -1;`,
      }),
    );
  const free = places - used;
  const find = free < FEW ? broken : look;
  if (free < (services > 0 ? FEW : wanted))
    found.push(
      find("connections", {
        seen: `${used} of ${places} connections of the server are taken${largest ? `, most by ${largest}` : ""}`,
        why,
        fix: "Close idle ones, put a pooler before the application, or raise max_connections (takes a restart): alter system set max_connections = 200;",
      }),
    );
  if (found.length > 0) return found;
  return [well("connections", `${used} of ${places} are taken; a service takes up to ${wanted}`)];
}

const COUNTS = `
select r.rolname as "user",
       d.datname as database,
       r.rolconnlimit as "roleLimit",
       d.datconnlimit as "databaseLimit",
       current_setting('max_connections')::integer
         - current_setting('superuser_reserved_connections')::integer
         - coalesce(current_setting('reserved_connections', true)::integer, 0) as places,
       a.used,
       a.services,
       (
         select format('%s with %s', l.usename, count(*))
           from pg_stat_activity l
          where l.backend_type = 'client backend'
          group by l.usename
          order by count(*) desc
          limit 1
       ) as largest
  from pg_roles r
  join pg_database d on d.datname = current_database()
 cross join (
         select count(*)::integer as used,
                count(*) filter (
                  where application_name = 'bellwire listener' and datname = current_database()
                )::integer as services
           from pg_stat_activity
          where usename is not null
       ) a
 where r.rolname = session_user`;

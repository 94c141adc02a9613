import type { ClientBase } from "pg";
import { type Finding, look, well } from "../finding.ts";
import { plural } from "../plural.ts";

/** The services that are connected to this database, by their LISTEN connections. Every login sees the names of connections. */
export async function checkServices(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<{ listeners: number; others: number; logins: string | null }>(
    `select count(*) filter (where application_name = 'bellwire listener')::integer as listeners,
            count(*) filter (where application_name in ('bellwire', 'bellwire feed'))::integer as others,
            string_agg(distinct usename, ', ') as logins
       from pg_stat_activity
      where datname = current_database()
        and application_name in ('bellwire listener', 'bellwire', 'bellwire feed')`,
  );
  const { listeners = 0, others = 0, logins } = rows[0] ?? {};
  if (listeners > 0)
    return [well("service", `${plural(listeners, "service")} connected, as ${logins}`)];
  return [
    look("service", {
      seen:
        others > 0
          ? `a service is connected as ${logins}, but none of its sessions listens`
          : "no Bellwire service is connected to this database",
      why: "Rows are written, and nobody shows them.",
      fix:
        others > 0
          ? "Read its log, and what curl http://127.0.0.1:PORT/readyz says."
          : "Start it: bellwire start. If it runs, it uses another database: compare its DATABASE_URL with this one.",
    }),
  ];
}

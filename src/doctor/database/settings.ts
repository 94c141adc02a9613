import type { ClientBase } from "pg";
import { broken, type Finding, look, well } from "../finding.ts";

type Values = Record<(typeof NAMES)[number], string>;

const NAMES = [
  "session_replication_role",
  "default_transaction_read_only",
  "default_transaction_isolation",
  "synchronous_commit",
] as const;

interface Setting {
  name: (typeof NAMES)[number];
  value: string;
  /** Where it was set: `pg_settings.source`. */
  source: string;
  user: string;
  database: string;
}

/** Settings of the server, the database or the login that hurt the service. It does not mind DateStyle, search_path and the like. */
export async function checkSettings(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<Setting>(SETTINGS, [[...NAMES]]);
  const found = rows.flatMap(findTrouble);
  if (found.length > 0) return found;
  const values = Object.fromEntries(rows.map(({ name, value }) => [name, value])) as Values;
  return [
    well(
      "settings",
      `${values.default_transaction_isolation}, writable, triggers fire, commits are durable`,
    ),
  ];
}

function findTrouble(setting: Setting): Finding[] {
  const { name, value } = setting;
  const where = `${name} is ${value} (${WHERE[setting.source] ?? setting.source})`;
  const fix = `${resetOf(setting)} Then restart the service.`;
  if (name === "session_replication_role" && value !== "origin")
    return [
      broken("settings", {
        seen: where,
        why: "No trigger fires in such sessions: marks reach no open page, and the service refuses to work so.",
        fix,
      }),
    ];
  if (name === "default_transaction_read_only" && value === "on")
    return [
      broken("settings", {
        seen: where,
        why: "Nothing can be written: marking as read gets 503, and rules cannot tell anybody.",
        fix,
      }),
    ];
  if (name === "default_transaction_isolation" && value !== "read committed")
    return [
      look("settings", {
        seen: where,
        why: "It works, but each statement of the service takes three round trips instead of one.",
        fix: `As an administrator: alter role ${setting.user} set default_transaction_isolation = 'read committed'; Then restart the service.`,
      }),
    ];
  if (name === "synchronous_commit" && value === "off")
    return [
      look("settings", {
        seen: where,
        why: "If PostgreSQL crashes, commits of the last moment are lost, and a page that had seen them may miss the next rows until it is reloaded.",
        fix: `If that is not on purpose: ${resetOf(setting)}`,
      }),
    ];
  return [];
}

/** PostgreSQL's words for where a setting comes from. */
const WHERE: Record<string, string> = {
  client: "in the options of the URL",
  "command line": "on PostgreSQL's command line",
  "configuration file": "in postgresql.conf or by alter system",
  database: "set for the database",
  "database user": "set for this login in this database",
  session: "left by another client of the pooler",
  user: "set for the login",
};

function resetOf({ name, source, user, database }: Setting): string {
  const admin = "As an administrator:";
  switch (source) {
    case "user":
      return `${admin} alter role ${user} reset ${name};`;
    case "database":
      return `${admin} alter database ${database} reset ${name};`;
    case "database user":
      return `${admin} alter role ${user} in database ${database} reset ${name};`;
    case "configuration file":
      return `${admin} alter system reset ${name}; select pg_reload_conf(); or remove it from postgresql.conf.`;
    case "client":
      return `Remove ${name} from the options of DATABASE_URL.`;
    case "session":
      return "Give the service a login of its own, so that it shares no session of the pooler with others.";
    default:
      return `Remove ${name} from where PostgreSQL is started.`;
  }
}

/** What doctor's own transactions do not change. */
const SETTINGS = `
select name,
       setting as value,
       source,
       quote_ident(current_user) as "user",
       quote_ident(current_database()) as database
  from pg_settings
 where name = any ($1)`;

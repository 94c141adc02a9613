import { broken, type Finding, well } from "../finding.ts";
import type { Session } from "./session.ts";

/** The oldest PostgreSQL that Bellwire runs on. */
export const OLDEST_MAJOR = 15;

/** What one of the URLs leads to. */
export interface Server {
  version: string;
  major: number;
  isStandby: boolean;
  /** The address that the server has for itself: the one to name where a pooler is in between. Null on a Unix socket. */
  address: string | null;
  /** The same for all sessions of one database of one server: its start, to the microsecond, and the database's id. */
  identity: string;
  /** Whether a pooler answered, which gives out process ids of its own making. */
  isPooled: boolean;
}

export async function readServer(session: Session): Promise<Server> {
  const { rows } = await session.read((client) =>
    client.query<Omit<Server, "isPooled"> & { pid: number }>(SERVER),
  );
  const [row] = rows;
  if (!row) throw new Error("a select without from returned no row");
  const { pid, ...server } = row;
  return { ...server, isPooled: pid !== processIdOf(session) };
}

/** What the server said when the session began. `pg` has it, and its types do not. */
const processIdOf = ({ client }: Session) => (client as unknown as { processID: number }).processID;

const SERVER = `
select current_setting('server_version') as version,
       current_setting('server_version_num')::integer / 10000 as major,
       pg_is_in_recovery() as "isStandby",
       host(inet_server_addr()) || ':' || inet_server_port() as address,
       pg_postmaster_start_time()::text || ' ' || (select oid from pg_database where datname = current_database()) as identity,
       pg_backend_pid() as pid`;

export interface Reached {
  session: Session;
  server: Server;
}

/** The servers behind the URLs: the version, whether they can be written to, and whether both URLs lead to the same database. */
export function checkServers(reached: readonly Reached[]): Finding[] {
  const found = reached.flatMap(findTrouble);
  const [first, second] = reached;
  if (first && second && first.server.identity !== second.server.identity)
    found.push(
      broken("same_database", {
        seen: `${describe(first)}, but ${describe(second)}`,
        why: "NOTIFY reaches only listeners of the same database, so every row waits for the sweep (SWEEP_MS).",
        fix: `Make both URLs lead to the same server and database: the primary. ${second.session.target.name} may only leave out the pooler.`,
      }),
    );
  if (found.length > 0 || !first) return found;
  return [well("server", `PostgreSQL ${first.server.version}, the primary${throughPooler(first)}`)];
}

const throughPooler = ({ session, server }: Reached) =>
  server.isPooled ? `, through a connection pooler (${session.target.name})` : "";

const describe = ({ session: { target }, server }: Reached) =>
  `${target.name} leads to database ${target.database} on ${server.isStandby ? "the standby " : ""}${server.address ?? target.host}`;

function findTrouble({ session, server }: Reached): Finding[] {
  const { name, host, port } = session.target;
  if (server.major < OLDEST_MAJOR)
    return [
      broken("server", {
        seen: `${name}: PostgreSQL ${server.version} is too old`,
        why: `Bellwire's SQL runs on PostgreSQL ${OLDEST_MAJOR} or newer.`,
        fix: "Upgrade the server.",
      }),
    ];
  if (server.isStandby)
    return [
      broken("server", {
        seen: `${name}: ${host}:${port} is a standby, a read-only copy`,
        why: "A standby accepts neither LISTEN nor marks: rows arrive late, and marking as read gets 503.",
        fix: `Name the primary in ${name}. On the standby this shows where it is: select sender_host, sender_port from pg_stat_wal_receiver;`,
      }),
    ];
  return [];
}

/** For a healthy report: one line for each URL. */
export const describeConnections = (sessions: readonly Session[]): Finding =>
  well(
    "connect",
    sessions
      .map(
        ({ target: { name, user, host, port, database }, connectMs }) =>
          `${name} reaches ${database} on ${host}:${port} as ${user}, in ${Math.ceil(connectMs)} ms`,
      )
      .join("\n"),
  );

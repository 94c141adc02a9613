import { Socket } from "node:net";
import pg from "pg";
import type { Page } from "../changes/changes.ts";
import type { Cursor } from "../changes/cursor.ts";
import { cutAtOf } from "../changes/notification.ts";
import { formatSnapshot } from "../changes/snapshot.ts";
import type { Logger } from "../logger.ts";
import { type NewRow, toNewRowsPage } from "./page-rows.ts";
import { KEEP_ALIVE } from "./pool.ts";

export interface FeedSessionOptions {
  /** A direct connection: a session that is kept does not work through a pooler. */
  url: string;
  maxEventBytes: number;
  log: Logger;
}

/** How the feed has read a page; also the metric's label. */
export type FeedReadBy = "session" | "function" | "no_session";

export type FeedSession = ReturnType<typeof createFeedSession>;

interface Session {
  client: pg.Client;
  socket: Socket;
  /** The database's history, and the table's file: while that is the same, so is the history. */
  epoch: string;
  file: string;
  endsAt: number;
}

/** The pause after a session failed. */
const PAUSE_MS = 5000;
/** Like the pools' connections. A session's caches only grow, and the URL may come to name another server. */
const LIFETIME_MS = 600_000;
const GOODBYE_MS = 1000;

/** With this many rows, `bellwire.changes_since()` reads a page. */
const AT_MOST = 2000;
/** The most bytes that a row's texts, and its data, may have. */
const LONGEST = 4096;

const NEW_ROWS = {
  name: "bellwire.new_rows_since",
  text: "select * from bellwire.new_rows_since($1, $2, $3)",
  // The network may have dropped this connection silently, while the pool's are well. Rows must not wait for more than a sweep then.
  query_timeout: 300,
};

/** The settings of `bellwire.changes_since()`, which make a plan that uses the indexes. */
export const SETTINGS = `
  set default_transaction_isolation = 'read committed';
  set plan_cache_mode = force_generic_plan;
  set enable_seqscan = off;
  set enable_bitmapscan = off;
  set random_page_cost = 0.1;
  set jit = off`;

/** `pid` shows whether this is a direct connection: a pooler begins a connection with a process id of its own making. */
const BEGIN = `
  select pg_backend_pid() as pid,
         bellwire.epoch(),
         pg_relation_filenode(to_regclass('bellwire.notifications')) as file`;

/**
 * The feed's own session: it reads a few new rows with a statement that was planned before, in half the time that
 * `bellwire.changes_since()` takes. It is opened in the background after `renew`, and again when it breaks. It never rejects: what it
 * cannot read, the caller reads with the function.
 */
export function createFeedSession({ url, maxEventBytes, log }: FeedSessionOptions) {
  const longest = Math.min(LONGEST, cutAtOf(maxEventBytes) ?? LONGEST);
  let session: Session | undefined;
  let isOpening = false;
  /** Not before `renew`. */
  let opensAt = Number.POSITIVE_INFINITY;
  /** How often `renew` was called. A session that was opened before the last time is not used. */
  let renewals = 0;
  let isClosed = false;
  let problem: string | undefined;

  async function open(): Promise<void> {
    isOpening = true;
    const renewalsBefore = renewals;
    // Our own socket, because a half-open connection never answers `end()` and must be destroyed.
    const socket = new Socket();
    const client = new pg.Client({
      connectionString: url,
      application_name: "bellwire feed",
      connectionTimeoutMillis: 5000,
      query_timeout: 10_000,
      stream: () => socket,
      ...KEEP_ALIVE,
    });
    client.on("error", (err) => end({ client, socket }, err));
    try {
      await client.connect();
      const { rows } = await client.query(BEGIN);
      const [{ pid, epoch, file }] = rows;
      if (pid !== processIdOf(client)) {
        opensAt = Number.POSITIVE_INFINITY;
        problem = "the direct URL leads through a pooler, so the feed has no session of its own";
        log.debug(problem);
        return end({ client, socket });
      }
      await client.query(SETTINGS);
      if (isClosed || renewals > renewalsBefore) return end({ client, socket });
      problem = undefined;
      session = { client, socket, epoch, file, endsAt: performance.now() + LIFETIME_MS };
    } catch (err) {
      end({ client, socket }, err);
    } finally {
      isOpening = false;
    }
  }

  /** With an error, the next session is opened a little later. */
  function end({ client, socket }: Pick<Session, "client" | "socket">, err?: unknown): void {
    if (session?.client === client) session = undefined;
    if (err !== undefined) {
      problem = "the feed's session failed; the next one is opened soon";
      log.debug({ err }, "the feed's session failed");
      opensAt = performance.now() + PAUSE_MS;
    }
    client.end().catch(() => {});
    setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
  }

  function renew(): void {
    renewals++;
    opensAt = 0;
    if (session) end(session);
  }

  /** The session, if there is one now. */
  function current(): Session | undefined {
    const now = performance.now();
    if (session && now >= session.endsAt) renew();
    if (!session && !isOpening && !isClosed && now >= opensAt) void open();
    return session;
  }

  return {
    /** The listener has (re)connected: only now is the URL known to work, and it may lead to another server. */
    renew,

    /** All that has come since the cursor, if that is a few new rows or nothing. Undefined if there is something else, or no session. */
    async readNewRows(from: Cursor): Promise<Page | undefined> {
      const used = current();
      if (!used || from.reading || from.epoch !== used.epoch) return undefined;
      try {
        const { rows } = await used.client.query<NewRow>({
          ...NEW_ROWS,
          values: [formatSnapshot(from.at), AT_MOST, longest],
        });
        if (!rows[0]?.file || rows[0].file !== used.file) end(used);
        else if (rows.length < AT_MOST) return toNewRowsPage(rows, from);
      } catch (err) {
        end(used, err);
      }
      return undefined;
    },

    isOpen: () => session !== undefined,

    /** Why there is no session, in a sentence for the operator; undefined while there is one, or while the first is opened. */
    problem: () => problem,

    close(): void {
      isClosed = true;
      if (session) end(session);
    },
  };
}

/** What the server said when the session began. `pg` has it, and its types do not. */
const processIdOf = (client: pg.Client) => (client as unknown as { processID: number }).processID;

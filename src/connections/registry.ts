import type { Identity } from "../http/auth/verify-token.ts";
import type { CloseReason } from "./close-reason.ts";
import type { Connection } from "./connection.ts";
import type { Leave } from "./limits.ts";
import { RETRY_MS } from "./retry-ms.ts";
import type { RollCall } from "./roll-call.ts";
import { watchSilence } from "./silence.ts";

export interface RegistryOptions {
  rollCall: Pick<RollCall, "add" | "leavePlace">;
  /**
   * Each connection gets a ping this often, plus or minus a fifth, so that no proxy closes it. A connection that has not begun
   * at its first ping is closed.
   */
  heartbeatMs: number;
  /** The longest time between two pings, so that a script knows that the connection is alive. */
  pingMs: number;
  /** A client that reads nothing for this long is disconnected. */
  stalledMs: number;
  /** A connection of this age, plus or minus a fifth, is closed. */
  maxAgeMs: number;
  /** `close` spreads the closing of a thousand connections or more over this time, and of fewer over a part of it. */
  drainMs: number;
  /** No proxy is in front. A proxy acknowledges data that its clients never get, so their silence cannot be seen. */
  hasDirectClients: boolean;
  onClosed: (reason: CloseReason) => void;
}

/** A connection and its deadlines. They are in `performance.now()`, so that no change of the system clock moves them. */
export interface Entry {
  readonly connection: Connection;
  readonly leave: Leave;
  /** One for each follower; none until the client has sent a token. Replaced and not pushed to: a push makes room for 16 more. */
  members: readonly Member[];
  /** When the first of its members' tokens expires. */
  expiresAt: number;
  pingAt: number;
  readonly agedAt: number;
}

/** A recipient that a connection carries notifications for, and when its token expires. */
export interface Member {
  readonly recipientId: string;
  readonly follower: Follower;
  readonly expiresAt: number;
  hasBeenWarned: boolean;
}

/** Ends when the registry closes it. */
interface Follower {
  close(): void;
}

export type Registry = ReturnType<typeof createRegistry>;

/** A client is warned a minute before its token expires. */
const WARNING_MS = 60_000;
const TICK_MS = 1000;
/** From this many connections on, `close` takes all of `drainMs`. */
const MANY_CONNECTIONS = 1000;
const NONE: readonly Member[] = [];

/** All open connections of this process, over every transport: sends pings, and closes those that expire, are too old or stall. */
export function createRegistry(options: RegistryOptions) {
  const { rollCall, heartbeatMs, pingMs, stalledMs, maxAgeMs, drainMs, onClosed } = options;
  const entries = new Set<Entry>();
  let isDraining = false;

  const untilPing = () => Math.min(jittered(heartbeatMs), pingMs);

  /**
   * A connection that has not begun cannot be sent a ping. Without pings a proxy closes it, and nobody notices if its client has
   * left. So it is closed, and a client that is still there reconnects.
   */
  function ping({ connection }: Entry): void {
    if (connection.hasBegun) connection.tell("ping");
    else connection.close("unavailable");
  }

  function warn({ connection, members }: Entry, now: number): void {
    for (const member of members) {
      if (member.hasBeenWarned || now < member.expiresAt - WARNING_MS) continue;
      member.hasBeenWarned = true;
      connection.tell("expiring");
    }
  }

  /** Allocates nothing for a connection with nothing due. While V8 sees a megabyte of garbage a second, it keeps freed memory. */
  function tick(): void {
    const now = performance.now();
    for (const entry of entries) {
      const { connection } = entry;
      if (connection.blockedMs(now) > stalledMs) connection.close("slow");
      else if (now >= entry.expiresAt) connection.close("expired");
      else if (now >= entry.agedAt) connection.close("max_age", RETRY_MS.aged());
      if (now >= entry.expiresAt - WARNING_MS && connection.hasBegun) warn(entry, now);
      if (now >= entry.pingAt) {
        entry.pingAt = now + untilPing();
        ping(entry);
      }
    }
  }

  function* connections(): Generator<Connection> {
    for (const { connection } of entries) yield connection;
  }

  function pingAll(isMeant: (recipientId: string) => boolean): void {
    for (const entry of entries)
      if (entry.members.some(({ recipientId }) => isMeant(recipientId))) ping(entry);
  }

  function leave({ follower, recipientId }: Member): void {
    follower.close();
    rollCall.leavePlace(recipientId);
  }

  rollCall.add({ call: pingAll, times: 3 });
  const ticking = setInterval(tick, TICK_MS);
  const silence = options.hasDirectClients ? watchSilence(connections, stalledMs) : undefined;

  return {
    /** `leave` is called when the connection is removed. */
    add(connection: Connection, leave: Leave): Entry {
      const now = performance.now();
      const entry: Entry = {
        connection,
        leave,
        members: NONE,
        expiresAt: Number.POSITIVE_INFINITY,
        pingAt: now + untilPing(),
        agedAt: now + jittered(maxAgeMs),
      };
      entries.add(entry);
      return entry;
    },

    /**
     * The connection now carries notifications for this recipient too, whose place is taken. It is closed when the first of its tokens
     * expires.
     */
    addMember(entry: Entry, { recipientId, expiresAt }: Identity, follower: Follower): Member {
      const leftMs = expiresAt.getTime() - Date.now();
      const member = {
        recipientId,
        follower,
        expiresAt: performance.now() + leftMs,
        hasBeenWarned: false,
      };
      setMembers(entry, entry.members.concat(member));
      return member;
    },

    /** The connection no longer carries notifications for this member, whose place is given back. It stays open. */
    removeMember(entry: Entry, member: Member): void {
      const left = entry.members.filter((other) => other !== member);
      setMembers(entry, left);
      leave(member);
    },

    /** Call it once, when the connection has closed. */
    remove(entry: Entry, reason: CloseReason): void {
      entries.delete(entry);
      onClosed(reason);
      entry.leave();
      entry.members.forEach(leave);
    },

    size: () => entries.size,

    /** Bytes that were written and that the kernel has not taken. */
    bufferedBytes(): number {
      let bytes = 0;
      for (const { connection } of entries) bytes += connection.socket.writableLength;
      return bytes;
    },

    isDraining: () => isDraining,

    /**
     * Closes every connection, one after the other within `drainMs`, each with its own `retry`. From now on `isDraining` is true. The
     * spread keeps many from reconnecting at once, so a few need none of it: their clients are without a stream until this process has ended.
     */
    async close(): Promise<void> {
      isDraining = true;
      const { size } = entries;
      const gapMs = drainMs / Math.max(MANY_CONNECTIONS, size);
      const endings = [...entries].map(async ({ connection }, i) => {
        await new Promise((resolve) => setTimeout(resolve, i * gapMs));
        connection.close("shutdown", RETRY_MS.drained(size));
      });
      await Promise.all(endings);
      clearInterval(ticking);
      silence?.close();
    },
  };
}

function setMembers(entry: Entry, members: readonly Member[]): void {
  entry.members = members;
  entry.expiresAt = Math.min(...members.map(({ expiresAt }) => expiresAt));
}

/** Plus or minus a fifth, so that many connections do not act at the same moment. */
const jittered = (ms: number) => ms * (0.8 + Math.random() * 0.4);

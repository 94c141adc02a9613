import type { Identity } from "../http/auth/verify-token.ts";
import type { CloseReason } from "./close-reason.ts";
import type { Connection } from "./connection.ts";
import type { Leave } from "./limits.ts";
import { RETRY_MS } from "./retry-ms.ts";
import type { RollCall } from "./roll-call.ts";
import { watchSilence } from "./silence.ts";

export interface RegistryOptions {
  rollCall: Pick<RollCall, "add" | "placeLeft">;
  /**
   * A quiet connection gets a ping in this time, a fifth more or less, so that no proxy closes it. One that has not begun by
   * then ends.
   */
  heartbeatMs: number;
  /** The longest time between two pings, so that a script can tell that the connection is alive. */
  pingMs: number;
  /** A client that takes nothing for so long is cut. */
  stalledMs: number;
  /** A connection ends when it is so old, a fifth more or less. */
  maxAgeMs: number;
  /** How long `close` spreads the ends over. */
  drainMs: number;
  /** Whether the other end of a TCP connection is the client itself. A proxy acknowledges what its clients never get. */
  hasDirectClients: boolean;
  onClosed: (reason: CloseReason) => void;
}

/** A connection, and what is due when, by `performance.now()`: setting the clock ends no connection and keeps none open. */
export interface Entry {
  readonly connection: Connection;
  readonly leave: Leave;
  /** One for each follower; none until the client has said who it is. */
  readonly members: Member[];
  pingAt: number;
  readonly agedAt: number;
}

/** Whom a connection carries notifications for, and until when. */
export interface Member {
  readonly recipientId: string;
  readonly leave: Leave;
  readonly expiresAt: number;
  hasBeenWarned: boolean;
}

export type Registry = ReturnType<typeof createRegistry>;

/** A client is told a minute before its token ends. */
const WARNING_MS = 60_000;
const TICK_MS = 1000;

/** Every connection that is open here, of every transport: heartbeats, expiry, age, and how all of them end. */
export function createRegistry(options: RegistryOptions) {
  const { rollCall, heartbeatMs, pingMs, stalledMs, maxAgeMs, drainMs, onClosed } = options;
  const entries = new Set<Entry>();
  let isDraining = false;

  const untilPing = () => Math.min(jittered(heartbeatMs), pingMs);

  /**
   * A connection that has not begun can be told nothing yet. Nobody would learn that its client has left, and a proxy would take it
   * for dead; so it ends, and a client that is still there reconnects.
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

  function tick(): void {
    const now = performance.now();
    for (const entry of entries) {
      const { connection, members } = entry;
      if (connection.blockedMs(now) > stalledMs) connection.close("slow");
      else if (members.some(({ expiresAt }) => now >= expiresAt)) connection.close("expired");
      else if (now >= entry.agedAt) connection.close("max_age", RETRY_MS.aged());
      if (connection.hasBegun) warn(entry, now);
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
        members: [],
        pingAt: now + untilPing(),
        agedAt: now + jittered(maxAgeMs),
      };
      entries.add(entry);
      return entry;
    },

    /** The connection now carries notifications for this recipient too. It ends when the first of its tokens does. */
    addMember({ members }: Entry, { recipientId, expiresAt }: Identity, leave: Leave): Member {
      const leftMs = expiresAt.getTime() - Date.now();
      const member = {
        recipientId,
        leave,
        expiresAt: performance.now() + leftMs,
        hasBeenWarned: false,
      };
      members.push(member);
      return member;
    },

    /** The connection carries nothing for this member any more, and stays open. */
    removeMember({ members }: Entry, member: Member): void {
      members.splice(members.indexOf(member), 1);
      member.leave();
      rollCall.placeLeft(member.recipientId);
    },

    /** To be called once, when the connection has closed. */
    remove(entry: Entry, reason: CloseReason): void {
      entries.delete(entry);
      onClosed(reason);
      entry.leave();
      for (const { leave } of entry.members) leave();
      for (const { recipientId } of entry.members) rollCall.placeLeft(recipientId);
    },

    size: () => entries.size,

    /** What has been written and the clients have not taken. */
    bufferedBytes(): number {
      let bytes = 0;
      for (const { connection } of entries) bytes += connection.socket.writableLength;
      return bytes;
    },

    isDraining: () => isDraining,

    /** Ends every connection, each at its own moment within `drainMs` and with its own `retry`. No new ones meanwhile. */
    async close(): Promise<void> {
      isDraining = true;
      const { size } = entries;
      const gapMs = drainMs / Math.max(1, size);
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

/** A fifth more or less, so that what is due to many does not come at once. */
const jittered = (ms: number) => ms * (0.8 + Math.random() * 0.4);

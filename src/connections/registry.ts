import type { Identity } from "../http/auth/verify-token.ts";
import type { CloseReason, EventStream } from "../transports/sse/event-stream.ts";
import type { Frame } from "../transports/sse/frame.ts";
import type { Frames } from "../transports/sse/frames.ts";
import type { Limits } from "./limits.ts";
import { RETRY_MS } from "./retry-ms.ts";
import { readSilentPeers } from "./silent-peers.ts";

export interface StreamsOptions {
  frames: Frames;
  limits: Limits;
  /**
   * A quiet stream gets a ping in this time, a fifth more or less, so that no proxy closes it; one that has not begun by
   * then ends.
   */
  heartbeatMs: number;
  /** The longest time between two pings, so that a script can tell that the stream is alive. */
  pingMs: number;
  stalledMs: number;
  maxStreamMs: number;
  /** How long `close` spreads the ends over. */
  drainMs: number;
}

/** An open stream and what is due when, by `performance.now()`: no step of the clock ends a stream or keeps it. */
interface Entry {
  stream: EventStream;
  recipientId: string;
  pingAt: number;
  expiringAt: number;
  expiresAt: number;
  /** When it is old enough to be ended. */
  agedAt: number;
  /** Since when its peer has acknowledged nothing, and how often that was sent again by now. */
  silentSince?: number | undefined;
  resends?: number;
}

export type Streams = ReturnType<typeof createStreams>;

/** Tells a client a minute before its token ends. */
const EXPIRING_MS = 60_000;
const TICK_MS = 1000;
/** Reading the kernel's table of ten thousand connections costs some 50 ms of CPU, most of it the kernel's. */
const SILENCE_CHECK_MS = 5000;

/** Every stream that is open here: what is due by the clock, and how they end together. */
export function createStreams(options: StreamsOptions) {
  const { frames, limits, heartbeatMs, pingMs, stalledMs, maxStreamMs } = options;
  const entries = new Set<Entry>();
  let isDraining = false;

  const untilPing = () => Math.min(jittered(heartbeatMs), pingMs);

  /**
   * What has not begun may be told nothing yet: nobody would learn that its client has left, and a proxy would take it
   * for dead. It ends, and who is there comes again.
   */
  function ping(stream: EventStream, frame: Frame) {
    if (stream.hasBegun) stream.write(frame);
    else stream.close("unavailable");
  }

  function tick() {
    const now = performance.now();
    const frame = frames.ping();
    for (const entry of entries) {
      const { stream } = entry;
      if (stream.blockedMs(now) > stalledMs) stream.close("slow");
      else if (now >= entry.expiresAt) stream.close("expired", frames.auth("expired"));
      else if (now >= entry.agedAt) stream.close("max_age", frames.ping(RETRY_MS.aged()));
      if (now >= entry.expiringAt && stream.hasBegun) {
        entry.expiringAt = Number.POSITIVE_INFINITY;
        stream.write(frames.auth("expiring"));
      }
      if (now >= entry.pingAt) {
        entry.pingAt = now + untilPing();
        ping(stream, frame);
      }
    }
  }

  /**
   * With a ping unacknowledged for `stalledMs` the client has vanished, or its network has. Looks again when the first of them
   * has been silent for so long.
   */
  async function closeVanished() {
    const resends = entries.size === 0 ? new Map<string, number>() : await readSilentPeers();
    const now = performance.now();
    let nextMs = SILENCE_CHECK_MS;
    for (const entry of entries) {
      const count = resends.size === 0 ? 0 : (resends.get(entry.stream.peer()) ?? 0);
      // The kernel counts anew after every acknowledgement: fewer are of something else.
      if (count === 0) entry.silentSince = undefined;
      else if (entry.silentSince === undefined || count < (entry.resends ?? 0))
        entry.silentSince = now;
      entry.resends = count;
      if (entry.silentSince === undefined) continue;
      const leftMs = entry.silentSince + stalledMs - now;
      if (leftMs <= 0) entry.stream.close("vanished");
      else nextMs = Math.min(nextMs, leftMs);
    }
    if (!isDraining) checking = setTimeout(closeVanished, nextMs);
  }

  const ticking = setInterval(tick, TICK_MS);
  let checking = setTimeout(closeVanished, SILENCE_CHECK_MS);

  return {
    /** Returns the function to call when the stream has ended. */
    add(stream: EventStream, identity: Identity): () => void {
      const now = performance.now();
      const { recipientId } = identity;
      const leave = limits.enter(recipientId);
      const expiresAt = now + (identity.expiresAt.getTime() - Date.now());
      const entry: Entry = {
        stream,
        recipientId,
        pingAt: now + untilPing(),
        expiringAt: expiresAt - EXPIRING_MS,
        expiresAt,
        agedAt: now + jittered(maxStreamMs),
      };
      entries.add(entry);
      return () => {
        entries.delete(entry);
        leave();
      };
    },

    size: () => entries.size,

    /** What all clients together have not taken. */
    bufferedBytes() {
      let bytes = 0;
      for (const { stream } of entries) bytes += stream.bufferedBytes();
      return bytes;
    },

    isDraining: () => isDraining,

    /** A ping out of turn. */
    pingAll(isMeant: (recipientId: string) => boolean): void {
      const frame = frames.ping();
      for (const { stream, recipientId } of entries) if (isMeant(recipientId)) ping(stream, frame);
    },

    /** Ends every stream, each at its own moment within `drainMs` and with its own `retry`. No new ones meanwhile. */
    async close(): Promise<void> {
      isDraining = true;
      const reason: CloseReason = "shutdown";
      const { size } = entries;
      const gap = options.drainMs / Math.max(1, size);
      const endings = [...entries].map(async ({ stream }, i) => {
        await new Promise((resolve) => setTimeout(resolve, i * gap));
        stream.close(reason, frames.ping(RETRY_MS.drained(size)));
      });
      await Promise.all(endings);
      clearInterval(ticking);
      clearTimeout(checking);
    },
  };
}

/** A fifth more or less, so that what is due to many does not come at once. */
const jittered = (ms: number) => ms * (0.8 + Math.random() * 0.4);

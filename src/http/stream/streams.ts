import type { Identity } from "../auth.ts";
import type { CloseReason, EventStream } from "./event-stream.ts";
import type { Frames } from "./frames.ts";
import { encodeRetry, HEARTBEAT } from "./server-sent-event.ts";

export interface StreamsOptions {
  frames: Frames;
  maxStreams: number;
  maxStreamsPerRecipient: number;
  heartbeatMs: number;
  pingMs: number;
  stalledMs: number;
  /** How long `close` spreads the ends over. */
  drainMs: number;
}

/** An open stream and when it is next due, in milliseconds since the epoch. */
interface Entry {
  stream: EventStream;
  identity: Identity;
  heartbeatAt: number;
  pingAt: number;
  expiringAt: number;
}

export type Streams = ReturnType<typeof createStreams>;

/** Tells a client a minute before its token ends. */
const EXPIRING_MS = 60_000;
const TICK_MS = 1000;

/** Every stream that is open here: how many there may be, what is due by the clock, and how they end together. */
export function createStreams(options: StreamsOptions) {
  const { frames, maxStreams, maxStreamsPerRecipient, heartbeatMs, pingMs, stalledMs } = options;
  const entries = new Set<Entry>();
  const perRecipient = new Map<string, number>();
  let isDraining = false;

  function tick() {
    const now = Date.now();
    for (const entry of entries) {
      const { stream, identity } = entry;
      if (stream.blockedMs(now) > stalledMs) stream.close("slow");
      else if (now >= identity.expiresAt.getTime()) stream.close("expired", frames.auth("expired"));
      if (now >= entry.expiringAt) {
        entry.expiringAt = Number.POSITIVE_INFINITY;
        stream.write(frames.auth("expiring"));
      }
      if (now >= entry.pingAt) {
        entry.pingAt = now + pingMs;
        stream.write(frames.ping());
      }
      if (now >= entry.heartbeatAt) {
        entry.heartbeatAt = now + jittered(heartbeatMs);
        stream.write(HEARTBEAT);
      }
    }
  }
  const ticking = setInterval(tick, TICK_MS);

  return {
    /** Why a further stream cannot be opened now, if so. */
    refusal(recipientId: string): "recipient_full" | "unavailable" | undefined {
      if (isDraining || entries.size >= maxStreams) return "unavailable";
      const open = perRecipient.get(recipientId) ?? 0;
      return open >= maxStreamsPerRecipient ? "recipient_full" : undefined;
    },

    /** Returns the function to call when the stream has ended. */
    add(stream: EventStream, identity: Identity): () => void {
      const now = Date.now();
      const { recipientId } = identity;
      const entry: Entry = {
        stream,
        identity,
        heartbeatAt: now + jittered(heartbeatMs),
        pingAt: now + pingMs,
        expiringAt: identity.expiresAt.getTime() - EXPIRING_MS,
      };
      entries.add(entry);
      perRecipient.set(recipientId, (perRecipient.get(recipientId) ?? 0) + 1);
      return () => {
        entries.delete(entry);
        const left = (perRecipient.get(recipientId) ?? 1) - 1;
        if (left === 0) perRecipient.delete(recipientId);
        else perRecipient.set(recipientId, left);
      };
    },

    size: () => entries.size,
    isDraining: () => isDraining,

    /** Ends every stream, each at its own moment within `drainMs` and with its own `retry`. No new ones meanwhile. */
    async close(): Promise<void> {
      isDraining = true;
      const reason: CloseReason = "shutdown";
      const gap = options.drainMs / Math.max(1, entries.size);
      const endings = [...entries].map(async ({ stream }, i) => {
        await new Promise((resolve) => setTimeout(resolve, i * gap));
        stream.close(reason, encodeRetry(1000 + Math.random() * 9000));
      });
      await Promise.all(endings);
      clearInterval(ticking);
    },
  };
}

/** A fifth more or less, so that the heartbeats of many do not come at once. */
const jittered = (ms: number) => ms * (0.8 + Math.random() * 0.4);

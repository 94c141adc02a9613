import { type Cursor, encodeCursor } from "../../changes/cursor.ts";
import type { Counts } from "../../changes/notification.ts";
import type { Snapshot } from "../../changes/snapshot.ts";
import { encodeJson } from "../../http/json-line.ts";
import { type NotificationEncoder, stateJson } from "../../http/notification-json.ts";
import type { EventData, EventName } from "../../http/schemas.ts";
import type { RecipientEvent } from "../../hub/events.ts";
import type { FollowOptions, ResetReason } from "../../hub/follow.ts";
import { encodeFrame, type Frame } from "./frame.ts";
import { encodeEvent } from "./server-sent-event.ts";

/** Why a stream's token matters now. */
export type AuthReason = EventData<"auth">["reason"];

export type Frames = ReturnType<typeof createFrames>;

/**
 * The events of the contract, encoded. What several streams send is encoded once.
 */
export function createFrames(version: string, encoder: NotificationEncoder) {
  const encoded = new WeakMap<RecipientEvent, Frame>();
  /** The ids of whole snapshots: what one read gives many recipients ends with the same. */
  const ids = new WeakMap<Snapshot, string>();

  function idOf(cursor: Cursor): string {
    if (cursor.reading) return encodeCursor(cursor);
    const known = ids.get(cursor.at);
    if (known !== undefined) return known;
    const id = encodeCursor(cursor);
    ids.set(cursor.at, id);
    return id;
  }

  return {
    /** `retryMs` is how long the client waits before it comes again, should it lose us. */
    ready({ unread, unseen }: Counts, resumeAt: Cursor | "unknown", retryMs: number): Frame {
      const cursor = resumeAt === "unknown" ? resumeAt : encodeCursor(resumeAt);
      const data = { unread, unseen, cursor, version };
      return encodeFrame(encode("ready", data, cursor, retryMs));
    },

    delivered(event: RecipientEvent): Frame {
      const known = encoded.get(event);
      if (known !== undefined) return known;
      const frame = encodeFrame(encodeDelivered(event, encoder, idOf(event.cursor)));
      encoded.set(event, frame);
      return frame;
    },

    reset: (reason: ResetReason, { unread, unseen }: Counts, position: Cursor): Frame =>
      encodeFrame(encode("reset", { reason, unread, unseen }, encodeCursor(position))),

    auth: (reason: AuthReason): Frame => encodeFrame(encode("auth", { reason })),

    /**
     * All that a refused stream says. With the position that the client came with, which some clients forget at a first
     * event without an id.
     */
    refusal(since: FollowOptions["since"], retryMs: number): Frame {
      const id = typeof since === "string" ? since : encodeCursor(since);
      return encodeFrame(encode("ping", now(), id === "now" ? undefined : id, retryMs));
    },

    /** With `retryMs` a stream's last words. */
    ping: (retryMs?: number): Frame => encodeFrame(encode("ping", now(), undefined, retryMs)),
  };
}

const now = () => ({ time: new Date().toISOString() });

function encodeDelivered(event: RecipientEvent, encoder: NotificationEncoder, id: string): string {
  if (event.kind === "state") return encode("state", { ...stateJson(event), ...event.counts }, id);
  const { unread, unseen } = event.counts;
  const data = `${encoder.encode(event.change).slice(0, -1)},"unread":${unread},"unseen":${unseen}}`;
  return encodeEvent({ event: "notification", data, id });
}

const encode = <Name extends EventName>(
  event: Name,
  data: EventData<Name>,
  id?: string,
  retryMs?: number,
) =>
  encodeEvent({
    event,
    data: encodeJson(data),
    ...(id === undefined ? {} : { id }),
    ...(retryMs === undefined ? {} : { retryMs }),
  });

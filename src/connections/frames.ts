import { type Cursor, createCursorEncoder, encodeCursor } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { encodeJson } from "../http/json-line.ts";
import { type NotificationEncoder, stateJson } from "../http/notification-json.ts";
import type { EventData, EventName } from "../http/response-schemas.ts";
import type { RecipientEvent } from "../hub/events.ts";
import type { FollowOptions, ResetReason } from "../hub/follow.ts";
import type { CloseReason } from "./close-reason.ts";
import type { Notice } from "./connection.ts";

/** An event in the form that every transport encodes. */
export interface WireEvent {
  event: EventName;
  /** JSON on one line. */
  data: string;
  id?: string;
  /** How long the client should wait before it reconnects, in milliseconds. */
  retryMs?: number;
}

export interface FramesOptions<Frame> {
  version: string;
  encoder: NotificationEncoder;
  toFrame: (event: WireEvent) => Frame;
}

/** Why an `auth` event is sent. */
type AuthReason = EventData<"auth">["reason"];

export type Frames<Frame> = ReturnType<typeof createFrames<Frame>>;

/** Encodes every event of one transport. An event that several connections send is encoded once. */
export function createFrames<Frame>({ version, encoder, toFrame }: FramesOptions<Frame>) {
  const encoded = new WeakMap<RecipientEvent, Frame>();
  const encodeId = createCursorEncoder();
  const encode = (event: RecipientEvent) =>
    toFrame(recipientEventToWire(event, encoder, encodeId(event.cursor)));

  const auth = (reason: AuthReason): Frame => toFrame(toWire("auth", { reason }));

  const ping = (retryMs?: number): Frame => toFrame(toWire("ping", now(), undefined, retryMs));

  /** Shared, because thousands of pings may be due in the same millisecond. */
  let lastPing = { at: 0, frame: ping() };
  function sharedPing(): Frame {
    const at = Date.now();
    if (at !== lastPing.at) lastPing = { at, frame: ping() };
    return lastPing.frame;
  }

  return {
    /** `retryMs` is how long the client waits before it reconnects, if the connection breaks. */
    ready({ unread, unseen }: Counts, resumeAt: Cursor | "unknown", retryMs: number): Frame {
      const cursor = resumeAt === "unknown" ? resumeAt : encodeCursor(resumeAt);
      const data = { unread, unseen, cursor, version };
      return toFrame(toWire("ready", data, cursor, retryMs));
    },

    event(event: RecipientEvent): Frame {
      if (!event.isShared) return encode(event);
      const known = encoded.get(event);
      if (known !== undefined) return known;
      const frame = encode(event);
      encoded.set(event, frame);
      return frame;
    },

    reset: (reason: ResetReason, { unread, unseen }: Counts, position: Cursor): Frame =>
      toFrame(toWire("reset", { reason, unread, unseen }, encodeCursor(position))),

    notice: (notice: Notice): Frame => (notice === "ping" ? sharedPing() : auth(notice)),

    /** The last frame of a connection that ends for this reason, if it has one. */
    farewell(reason: CloseReason, retryMs?: number): Frame | undefined {
      if (reason === "expired" || reason === "revoked") return auth(reason);
      return retryMs === undefined ? undefined : ping(retryMs);
    },

    /**
     * The only frame of a connection that is opened to be refused. It repeats the position that the client sent, because some
     * clients forget their position at a first event without an id.
     */
    refusal(since: FollowOptions["since"], retryMs: number): Frame {
      const id = typeof since === "string" ? since : encodeCursor(since);
      return toFrame(toWire("ping", now(), id === "now" ? undefined : id, retryMs));
    },
  };
}

const now = () => ({ time: new Date().toISOString() });

function recipientEventToWire(
  event: RecipientEvent,
  encoder: NotificationEncoder,
  id: string,
): WireEvent {
  if (event.kind === "state") return toWire("state", { ...stateJson(event), ...event.counts }, id);
  const { unread, unseen } = event.counts;
  const data = `${encoder.encode(event.change).slice(0, -1)},"unread":${unread},"unseen":${unseen}}`;
  return { event: "notification", data, id };
}

const toWire = <Name extends EventName>(
  event: Name,
  data: EventData<Name>,
  id?: string,
  retryMs?: number,
): WireEvent => ({
  event,
  data: encodeJson(data),
  ...(id === undefined ? {} : { id }),
  ...(retryMs === undefined ? {} : { retryMs }),
});

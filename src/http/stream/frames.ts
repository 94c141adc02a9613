import { type Cursor, encodeCursor } from "../../db/cursor.ts";
import type { Counts } from "../../db/notification.ts";
import type { Snapshot } from "../../db/snapshot.ts";
import type { Delivered } from "../../hub/delivery.ts";
import type { ResetReason } from "../../hub/follow.ts";
import { encodeJson } from "../json-line.ts";
import { changeJson, encodeNotification } from "../notification-json.ts";
import type { EventData, EventName } from "../schemas.ts";
import { encodeEvent } from "./server-sent-event.ts";

/** Why a stream's token matters now. */
export type AuthReason = EventData<"auth">["reason"];

export type Frames = ReturnType<typeof createFrames>;

/**
 * The events of the contract, encoded. What several streams send is encoded once, and as bytes: a string that waits in
 * a socket takes up to three times its length, in each.
 */
export function createFrames(version: string) {
  const encoded = new WeakMap<Delivered, Buffer>();
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
    ready({ unread, unseen }: Counts, resumeAt: Cursor | "unknown"): string {
      const cursor = resumeAt === "unknown" ? resumeAt : encodeCursor(resumeAt);
      return encode("ready", { unread, unseen, cursor, version }, cursor);
    },

    delivered(event: Delivered): Buffer {
      const known = encoded.get(event);
      if (known !== undefined) return known;
      const bytes = Buffer.from(encodeDelivered(event, idOf(event.cursor)));
      encoded.set(event, bytes);
      return bytes;
    },

    reset: (reason: ResetReason, unread: number, position: Cursor): string =>
      encode("reset", { reason, unread }, encodeCursor(position)),

    auth: (reason: AuthReason): string => encode("auth", { reason }),

    ping: (): string => encode("ping", { time: new Date().toISOString() }),
  };
}

function encodeDelivered(event: Delivered, id: string): string {
  const { unread } = event.counts;
  if (event.kind === "state")
    return encode("state", { changes: event.rows.map(changeJson), unread }, id);
  const data = `${encodeNotification(event.row).slice(0, -1)},"unread":${unread}}`;
  return encodeEvent({ event: "notification", data, id });
}

const encode = <Name extends EventName>(event: Name, data: EventData<Name>, id?: string) =>
  encodeEvent({ event, data: encodeJson(data), ...(id === undefined ? {} : { id }) });

import type { Socket } from "node:net";
import type { Sink } from "../hub/follow.ts";
import type { CloseReason } from "./close-reason.ts";

/** `ping`: the connection is alive. `expiring`: its token expires within a minute. */
export type Notice = "ping" | "expiring";

/** An open wire of any transport, as the registry sees it. No method throws. After the close they all do nothing. */
export interface Connection {
  /** The client was told that it is open. Until then, only `close` may send something. */
  readonly hasBegun: boolean;
  /** The TCP connection: whether bytes are unsent, and the address of its peer. */
  readonly socket: Socket;
  /** How long the client has left data unread, in milliseconds; `now` is `performance.now()`. */
  blockedMs(now: number): number;
  tell(notice: Notice): void;
  /** Ends it, and tells the client why as far as its protocol can. `retryMs` is when the client should reconnect. */
  close(reason: CloseReason, retryMs?: number): void;
}

/** What one follower writes to. If a connection carries one follower only, it can be the outlet itself. */
export interface Outlet extends Pick<Sink, "ready" | "reset"> {
  /** False when so much is unsent that the follower should stop and read the rest again later. */
  send(event: Parameters<Sink["send"]>[0]): boolean;
  /** The follower has ended: its token was revoked, or the database did not answer. */
  close(reason: "revoked" | "unavailable"): void;
}

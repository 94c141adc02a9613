import type { Socket } from "node:net";
import type { Sink } from "../hub/follow.ts";
import type { CloseReason } from "./close-reason.ts";

/** `ping`: the connection is alive. `expiring`: its token ends within a minute. */
export type Notice = "ping" | "expiring";

/** An open wire of any transport, as the registry sees it. Nothing here throws; once it is closed, all of it does nothing. */
export interface Connection {
  /** Its client was told that it is open. Until then only its end may be told. */
  readonly hasBegun: boolean;
  /** The TCP connection: how much of it is unsent, and who is at the other end. */
  readonly socket: Pick<Socket, "writableLength" | "remoteAddress" | "remotePort">;
  /** How long the client has left data unread, in milliseconds; `now` is `performance.now()`. */
  blockedMs(now: number): number;
  tell(notice: Notice): void;
  /** Ends it, and tells the client why as far as its protocol can. `retryMs` is when the client should reconnect. */
  close(reason: CloseReason, retryMs?: number): void;
}

/** What one follower writes to. A transport that carries one follower a connection gives its connection. */
export interface Outlet extends Pick<Sink, "ready" | "reset" | "drained"> {
  /** False when the client holds back so much that the rest should be read again later. */
  send(event: Parameters<Sink["send"]>[0]): boolean;
  /** The follower has ended: its token was revoked, or the database did not answer. */
  close(reason: "revoked" | "unavailable"): void;
}

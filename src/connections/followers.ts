import type { Socket } from "node:net";
import type { Cursor } from "../changes/cursor.ts";
import type { BytesInFlight, Reservation } from "../db/bytes-in-flight.ts";
import type { Replays } from "../db/replays.ts";
import type { FindStanding } from "../db/revocations.ts";
import type { RecipientEvent } from "../hub/events.ts";
import {
  type FollowOptions,
  follow,
  type ResetReason,
  type Sink,
  type Source,
} from "../hub/follow.ts";
import type { Hub } from "../hub/hub.ts";
import type { Logger } from "../logger.ts";
import type { Admitted } from "./admission.ts";
import type { Outlet } from "./connection.ts";
import { drained } from "./drained.ts";
import type { Entry, Member, Registry } from "./registry.ts";

export interface FollowersOptions {
  registry: Pick<Registry, "addMember">;
  hub: Hub;
  read: Replays;
  /** Holds the bytes of each follower's last page until its client has read them. */
  bytesInFlight: BytesInFlight;
  replayLimit: number;
  findStanding: FindStanding;
  onEvent: (event: RecipientEvent, isLive: boolean) => void;
  onReset: (reason: ResetReason) => void;
  log: Logger;
}

export interface Following {
  /** The connection that the outlet belongs to. */
  entry: Entry;
  admitted: Admitted;
  since: FollowOptions["since"];
  outlet: Outlet;
  requestId: string;
}

export type Followers = ReturnType<typeof createFollowers>;

/** Starts the followers of every transport, and reports what they send to the metrics. */
export const createFollowers = (options: FollowersOptions) => ({
  /** It ends when the registry removes the member, or the connection. */
  start: (following: Following): Member =>
    options.registry.addMember(
      following.entry,
      following.admitted.identity,
      new OutletFollower(options, following),
    ),
});

/** A follower with its outlet. A class, because thousands are open: each function that an object has of its own takes 56 bytes. */
class OutletFollower implements Source, Sink {
  readonly #shared: FollowersOptions;
  readonly #outlet: Outlet;
  readonly #socket: Socket;
  readonly #requestId: string;
  /** A number and not a Date, which takes 96 bytes. */
  readonly #issuedMs: number;
  readonly #revokedAt: string | null;
  readonly #reservation: Reservation;
  readonly #follower: ReturnType<typeof follow>;

  constructor(shared: FollowersOptions, { entry, outlet, requestId, ...following }: Following) {
    const { admitted, since } = following;
    const { recipientId, issuedAt } = admitted.identity;
    this.#shared = shared;
    this.#outlet = outlet;
    this.#socket = entry.connection.socket;
    this.#requestId = requestId;
    this.#issuedMs = issuedAt.getTime();
    this.#revokedAt = admitted.standing.revokedAt;
    this.#reservation = { recipientId, bytes: 0, pending: undefined, isClosed: false };
    const { hub, replayLimit } = shared;
    const { position } = admitted;
    this.#follower = follow({
      hub,
      recipientId,
      since,
      position,
      source: this,
      replayLimit,
      sink: this,
    });
  }

  close(): void {
    this.#follower.close();
    this.#shared.bytesInFlight.close(this.#reservation);
  }

  read(from: Cursor): ReturnType<Replays> {
    return this.#shared.read(from, this.#reservation);
  }

  ready(...args: Parameters<Outlet["ready"]>): void {
    this.#outlet.ready(...args);
  }

  send(event: RecipientEvent, isLive: boolean): boolean {
    const keepsUp = this.#outlet.send(event);
    this.#shared.onEvent(event, isLive);
    return keepsUp;
  }

  reset(...args: Parameters<Outlet["reset"]>): void {
    this.#shared.onReset(args[0]);
    this.#outlet.reset(...args);
  }

  checkToken(): void {
    const { recipientId } = this.#reservation;
    const token = { recipientId, issuedAt: new Date(this.#issuedMs) };
    this.#shared.findStanding(token, { revokedAt: this.#revokedAt }).then(
      ({ isRefused }) => isRefused && this.#outlet.close("revoked"),
      // Nobody can check it now. The client reconnects, and its token is checked then.
      () => this.#outlet.close("unavailable"),
    );
  }

  async drained(): Promise<void> {
    await drained(this.#socket);
    this.#shared.bytesInFlight.resize(this.#reservation, 0);
  }

  fail(err: unknown): void {
    this.#shared.log.warn({ err, requestId: this.#requestId }, "replay failed");
    this.#outlet.close("unavailable");
  }
}

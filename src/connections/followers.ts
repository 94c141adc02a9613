import type { Cursor } from "../changes/cursor.ts";
import type { BytesInFlight, Reservation } from "../db/bytes-in-flight.ts";
import type { Replays } from "../db/replays.ts";
import type { FindStanding } from "../db/revocations.ts";
import type { RecipientEvent } from "../hub/events.ts";
import { type FollowOptions, follow, type ResetReason } from "../hub/follow.ts";
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
export function createFollowers(options: FollowersOptions) {
  const { registry, hub, read, bytesInFlight, replayLimit, findStanding, onEvent, onReset, log } =
    options;

  return {
    /** It ends when the registry removes the member, or the connection. */
    start({ entry, admitted, since, outlet, requestId }: Following): Member {
      const { recipientId } = admitted.identity;
      // Thousands of these closures are open. So they keep a number and not a Date, which takes 96 bytes.
      const issuedMs = admitted.identity.issuedAt.getTime();
      const { revokedAt } = admitted.standing;
      const reservation: Reservation = { recipientId, bytes: 0 };
      const stop = follow({
        hub,
        recipientId,
        since,
        position: admitted.position,
        read: (from: Cursor) => read(from, reservation),
        replayLimit,
        sink: {
          ready: outlet.ready,
          send(event, isLive) {
            const keepsUp = outlet.send(event);
            onEvent(event, isLive);
            return keepsUp;
          },
          reset(reason, counts, at) {
            onReset(reason);
            outlet.reset(reason, counts, at);
          },
          checkToken() {
            findStanding({ recipientId, issuedAt: new Date(issuedMs) }, { revokedAt }).then(
              ({ isRefused }) => isRefused && outlet.close("revoked"),
              // Nobody can check it now. The client reconnects, and its token is checked then.
              () => outlet.close("unavailable"),
            );
          },
          async drained() {
            await drained(entry.connection.socket);
            bytesInFlight.resize(reservation, 0);
          },
          fail(err) {
            log.warn({ err, requestId }, "replay failed");
            outlet.close("unavailable");
          },
        },
      });
      return registry.addMember(entry, admitted.identity, () => {
        stop();
        bytesInFlight.close(reservation);
      });
    },
  };
}

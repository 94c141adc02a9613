import type { Cursor } from "../changes/cursor.ts";
import type { FindStanding, Standing } from "../db/revocations.ts";
import type { Authenticate } from "../http/auth/authenticate.ts";
import { requireStanding } from "../http/auth/identify.ts";
import type { Identity } from "../http/auth/verify-token.ts";
import type { IncomingRequest } from "../http/incoming-request.ts";
import { Problem } from "../http/problem.ts";
import type { Logger } from "../logger.ts";
import type { RefusalReason } from "./close-reason.ts";
import { type Leave, type Limits, tooManyStreams } from "./limits.ts";
import type { OpeningRate } from "./opening-rate.ts";
import { RETRY_MS } from "./retry-ms.ts";
import type { RollCall } from "./roll-call.ts";

export interface AdmissionOptions {
  authenticate: Authenticate;
  findStanding: FindStanding;
  limits: Limits;
  rate: OpeningRate;
  rollCall: Pick<RollCall, "awaitPlace" | "takePlace" | "leavePlace">;
  isDraining: () => boolean;
  /** Where the feed stands; undefined until its first read. */
  position: () => Cursor | undefined;
  onRefused: (reason: RefusalReason) => void;
  log: Logger;
}

/** A recipient who may follow, and who holds one of its places. */
export interface Admitted {
  readonly identity: Identity;
  readonly standing: Standing;
  /** The feed's position before the token's standing was checked. A follower that starts there sees every later revocation. */
  readonly position: Cursor;
}

/** The connection cannot be opened now. The client should reconnect in `retryMs`. */
export interface Refusal {
  readonly refused: RefusalReason;
  readonly retryMs: number;
}

export type Admission = ReturnType<typeof createAdmission>;

/**
 * Decides who may open a connection, over any transport. A temporary reason (draining, overload, the database or the token keys
 * unavailable) gives a Refusal. A permanent one is thrown as a Problem: a bad token (401), a page of another origin (403), a
 * recipient with too many connections (429).
 *
 * A transport calls `checkRate` when the request arrives, `identify` when it has a token, and `enter` before it opens the wire.
 * The token may also come over the open wire; then `identify` is the last call.
 */
export function createAdmission(options: AdmissionOptions) {
  const { authenticate, limits, rate, rollCall, isDraining, onRefused, log } = options;

  function refuse(refused: RefusalReason): Refusal {
    onRefused(refused);
    const retryMs = refused === "rate" ? RETRY_MS.slowedDown() : RETRY_MS.refused();
    return { refused, retryMs };
  }

  function refuseFull(): never {
    onRefused("recipient_full");
    throw tooManyStreams();
  }

  /** Logs a temporary failure and returns undefined. Throws a permanent one. */
  function explain(err: unknown): undefined {
    if (err instanceof Problem && err.status < 500) throw err;
    log.warn({ err }, "cannot open a connection");
  }

  return {
    refuse,

    /** Call it first, before a ticket is used up and before anything costly. */
    checkRate({ remoteAddress }: Pick<IncomingRequest, "remoteAddress">): Refusal | undefined {
      if (isDraining()) return refuse("draining");
      return rate.countFrom(remoteAddress) ? undefined : refuse("rate");
    },

    async identify(request: IncomingRequest): Promise<Admitted | Refusal> {
      const identity = await authenticate(request).catch(explain);
      if (!identity) return refuse("unavailable");
      const { recipientId } = identity;
      // Also when all places are taken: behind some proxies a reloaded page still holds its old place. It then gets this temporary
      // refusal and not 429, which ends an EventSource for good.
      if (!rate.countFor(recipientId)) return refuse("rate");
      if (!(await rollCall.awaitPlace(recipientId))) refuseFull();
      const position = options.position();
      const standing = await options.findStanding(identity).then(requireStanding).catch(explain);
      // The place is taken only now. If the database hangs, waiting requests would otherwise hold all places, and 429 is permanent.
      if (!(await rollCall.takePlace(recipientId))) refuseFull();
      if (position && standing) return { identity, standing, position };
      rollCall.leavePlace(recipientId);
      return refuse("unavailable");
    },

    /** Gives the recipient's place back, if no follower was started. */
    leave: ({ identity }: Admitted): void => rollCall.leavePlace(identity.recipientId),

    /** Takes one of the process's places. Open the wire in the same turn of the event loop. */
    enter(): Leave | Refusal {
      if (isDraining()) return refuse("draining");
      return limits.takePlace() ?? refuse("full");
    },
  };
}

export const isRefusal = (answer: object): answer is Refusal => "refused" in answer;

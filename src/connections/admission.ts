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
  rollCall: Pick<RollCall, "awaitPlace" | "takePlace">;
  isDraining: () => boolean;
  /** Where the feed stands; undefined until its first read. */
  position: () => Cursor | undefined;
  onRefused: (reason: RefusalReason) => void;
  log: Logger;
}

/** A recipient who may follow, with one of its places. */
export interface Admitted {
  readonly identity: Identity;
  readonly standing: Standing;
  /** Where the feed stood before the token's standing was asked for, so that a later revocation is heard by who follows from here. */
  readonly position: Cursor;
  readonly leave: Leave;
}

/** Not now; the client should reconnect in `retryMs`. */
export interface Refusal {
  readonly refused: RefusalReason;
  readonly retryMs: number;
}

export type Admission = ReturnType<typeof createAdmission>;

/**
 * Who may open a connection, whatever its wire. What passes by itself (draining, overload, the database or the token keys unavailable)
 * is a Refusal; what does not is a thrown Problem: a bad token (401), a page of another origin (403), a recipient
 * with too many connections (429). A transport asks in three steps: `checkRate` as the request comes, `identify` once it holds a
 * token, which may be after the wire is open, and `enter` before it opens the wire.
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

  /** Undefined where the answer could not be had just now. */
  function explain(err: unknown): undefined {
    if (err instanceof Problem && err.status < 500) throw err;
    log.warn({ err }, "cannot open a connection");
  }

  return {
    refuse,

    /** To be asked first: before a ticket is used up, and before anything that costs. */
    checkRate({ remoteAddress }: Pick<IncomingRequest, "remoteAddress">): Refusal | undefined {
      if (isDraining()) return refuse("draining");
      return rate.countFrom(remoteAddress) ? undefined : refuse("rate");
    },

    async identify(request: IncomingRequest): Promise<Admitted | Refusal> {
      const identity = await authenticate(request).catch(explain);
      if (!identity) return refuse("unavailable");
      const { recipientId } = identity;
      // Also where all places are taken: behind some proxies a page that was reloaded still holds its old place, and 429 is for good.
      if (!rate.countFor(recipientId)) return refuse("rate");
      if (!(await rollCall.awaitPlace(recipientId))) refuseFull();
      const position = options.position();
      const standing = await options.findStanding(identity).then(requireStanding).catch(explain);
      // No place is held while the database is asked: should it hang, waiting requests would fill them, and 429 is for good.
      const leave = (await rollCall.takePlace(recipientId)) ?? refuseFull();
      if (position && standing) return { identity, standing, position, leave };
      leave();
      return refuse("unavailable");
    },

    /** Takes one of all the places. The wire is to be opened in the same turn of the event loop. */
    enter(): Leave | Refusal {
      if (isDraining()) return refuse("draining");
      return limits.takePlace() ?? refuse("full");
    },
  };
}

export const isRefusal = (answer: object): answer is Refusal => "refused" in answer;

import type { Socket } from "node:net";
import type { Request, RequestHandler, Response } from "express";
import { type Cursor, parseCursor } from "../../changes/cursor.ts";
import { type Limits, tooManyStreams } from "../../connections/limits.ts";
import type { OpeningRate } from "../../connections/opening-rate.ts";
import type { Streams } from "../../connections/registry.ts";
import { RETRY_MS } from "../../connections/retry-ms.ts";
import type { RollCall } from "../../connections/roll-call.ts";
import type { BytesInFlight, Reservation } from "../../db/bytes-in-flight.ts";
import type { Replays } from "../../db/replays.ts";
import type { FindStanding, Standing } from "../../db/revocations.ts";
import type { Authenticate } from "../../http/auth/authenticate.ts";
import { admit } from "../../http/auth/identify.ts";
import type { Identity } from "../../http/auth/verify-token.ts";
import { LentSocket } from "../../http/lent-socket.ts";
import { Problem } from "../../http/problem.ts";
import { type FollowOptions, follow } from "../../hub/follow.ts";
import type { Hub } from "../../hub/hub.ts";
import type { Logger } from "../../logger.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import {
  openEventStream,
  type RefusalReason,
  startEventStream,
  takeSocket,
} from "./event-stream.ts";
import type { Frames } from "./frames.ts";
import { wantsChunks } from "./wants-chunks.ts";

export interface StreamRouteOptions {
  authenticate: Authenticate;
  findStanding: FindStanding;
  limits: Limits;
  rate: OpeningRate;
  rollCall: RollCall;
  streams: Streams;
  frames: Frames;
  hub: Hub;
  position: () => Cursor | undefined;
  read: Replays;
  room: BytesInFlight;
  replayLimit: number;
  maxBufferedBytes: number;
  metrics: Metrics;
  log: Logger;
}

/**
 * `GET /stream`. For good: 401, 403, and 429 where the recipient has too many streams. Whatever will pass (the database
 * is away, or the keys for tokens; draining, overload) is 200, a ping with `retry` and an end: any other status stops a
 * browser's EventSource for ever.
 */
export function streamRoute(options: StreamRouteOptions): RequestHandler {
  const {
    authenticate,
    findStanding,
    limits,
    rate,
    rollCall,
    streams,
    frames,
    position,
    metrics,
    log,
  } = options;
  const openStream = createOpener(options);

  function sendAway(req: Request, res: Response, reason: RefusalReason) {
    metrics.streamRefused(reason);
    const ms = reason === "rate" ? RETRY_MS.slowedDown() : RETRY_MS.refused();
    // For clients that are no EventSource.
    res.set("Retry-After", String(Math.ceil(ms / 1000)));
    startEventStream(res);
    res.end(frames.refusal(lastEventId(req), ms).bytes);
  }

  const isFull = (recipientId: string) => limits.refusal(recipientId) === "recipient_full";

  function refuseFull(): never {
    metrics.streamRefused("recipient_full");
    throw tooManyStreams();
  }

  /** What could not be asked just now is undefined. */
  function otherwise(err: unknown): undefined {
    if (err instanceof Problem && err.status < 500) throw err;
    log.warn({ err }, "cannot open a stream");
  }

  return async (req, res) => {
    // Before a ticket is used up, and before anything that costs.
    if (streams.isDraining()) return sendAway(req, res, "draining");
    if (rate.isTooFastFrom(req)) return sendAway(req, res, "rate");
    const identity = await authenticate(req).catch(otherwise);
    if (!identity) return sendAway(req, res, "unavailable");
    const { recipientId } = identity;
    // Also where all is full: behind some proxies a page that is loaded again stands beside itself, and 429 is for good.
    if (rate.isTooFastFor(recipientId)) return sendAway(req, res, "rate");
    if (isFull(recipientId) && !(await rollCall.awaitPlace(recipientId))) refuseFull();
    // Before the look at revocations, so that one that comes later is in the stream's first read.
    const start = position();
    const admitted = await findStanding(identity).then(admit).catch(otherwise);
    while (isFull(recipientId)) if (!(await rollCall.awaitPlace(recipientId))) refuseFull();
    // Nothing may be awaited from here on: the limits are counted, and a client that left is noticed, now.
    if (res.destroyed) return;
    const { socket } = res;
    // Behind another answer on its connection (pipelining): nobody would tell us when the client has gone.
    const isBehind = !(socket instanceof LentSocket) || socket.writableLength > 0;
    if (isBehind || !start || !admitted) return sendAway(req, res, "unavailable");
    if (streams.isDraining()) return sendAway(req, res, "draining");
    if (limits.refusal(recipientId)) return sendAway(req, res, "full");
    if (req.method === "HEAD") {
      startEventStream(res);
      return void res.end();
    }
    const isChunked = wantsChunks(req);
    const own = { socket: takeSocket(res, socket, isChunked), isChunked };
    openStream(req, res, own, identity, start, admitted);
  };
}

/** Opens streams. What they share is out here: of what is a stream's own there are thousands. */
function createOpener(options: StreamRouteOptions) {
  const { streams, frames, hub, read, replayLimit, maxBufferedBytes, metrics, log } = options;
  const { findStanding, rollCall, room } = options;

  return (
    req: Request,
    res: Response,
    { socket, isChunked }: { socket: Socket; isChunked: boolean },
    identity: Identity,
    position: Cursor,
    { revokedAt }: Standing,
  ) => {
    const { recipientId } = identity;
    // A number, for a Date takes 96 bytes.
    const issuedMs = identity.issuedAt.getTime();
    const { requestId } = res.locals;
    /** The page that was read for it last, until the client has taken it. */
    const reservation: Reservation = { recipientId, bytes: 0 };
    const since = lastEventId(req);
    const stream = openEventStream(socket, {
      isChunked,
      maxBufferedBytes,
      refusal: () => frames.refusal(since, RETRY_MS.refused()),
      onClose(reason) {
        remove();
        rollCall.left(recipientId);
        stop();
        room.close(reservation);
        metrics.streamClosed(reason);
        log.info({ requestId, reason }, "stream closed");
      },
    });
    const remove = streams.add(stream, identity);
    log.info({ requestId, streams: streams.size() }, "stream opened");

    const stop = follow({
      hub,
      recipientId,
      since,
      position,
      read: (from) => read(from, reservation),
      replayLimit,
      sink: {
        ready(counts, resumeAt) {
          const ms = RETRY_MS.opened(streams.size());
          stream.begin(frames.ready(counts, resumeAt, ms));
        },
        send(event, isLive) {
          const keepsUp = stream.write(frames.delivered(event));
          metrics.delivered(event, isLive);
          return keepsUp;
        },
        reset(reason, counts, at) {
          metrics.streamReset(reason);
          stream.write(frames.reset(reason, counts, at));
        },
        checkToken() {
          findStanding({ recipientId, issuedAt: new Date(issuedMs) }, { revokedAt }).then(
            ({ isRefused }) => isRefused && stream.close("revoked", frames.auth("revoked")),
            // Not to be known now: let it come again, and be asked at the door.
            () => stream.close("unavailable"),
          );
        },
        async drained() {
          await stream.drained();
          room.resize(reservation, 0);
        },
        fail(err) {
          log.warn({ err, requestId }, "replay failed");
          stream.close("unavailable");
        },
      },
    });
  };
}

/**
 * What a browser sends by itself wins over the address, which is as old as the page; there the last counts, for some clients
 * append where they are. No browser sends an empty header: who does had an id that a cut has left nothing of.
 */
function lastEventId(req: Request): FollowOptions["since"] {
  const header = req.get("last-event-id");
  const value = header || lastInAddress(req);
  if (value) return parseCursor(value) ?? "unknown";
  return header === undefined ? "now" : "unknown";
}

function lastInAddress(req: Request): string | undefined {
  const { originalUrl } = req;
  // `req.query` has each name's values, and not which of two names stood last.
  return [...new URLSearchParams(originalUrl.slice(originalUrl.indexOf("?") + 1))].findLast(
    ([name, value]) => (name === "lastEventId" || name === "last_event_id") && value !== "",
  )?.[1];
}

import type { Request, RequestHandler, Response } from "express";
import { type Cursor, parseCursor } from "../../db/cursor.ts";
import { type FollowOptions, follow } from "../../hub/follow.ts";
import type { Hub } from "../../hub/hub.ts";
import type { Logger } from "../../logger.ts";
import { type Authenticate, type Identity, tokenInvalid } from "../auth.ts";
import type { Metrics } from "../metrics.ts";
import { Problem } from "../problem.ts";
import { openEventStream, retryMs, startEventStream } from "./event-stream.ts";
import type { Frames } from "./frames.ts";
import { encodeRetry } from "./server-sent-event.ts";
import type { Streams } from "./streams.ts";

export interface StreamRouteOptions {
  authenticate: Authenticate;
  /** Whether the recipient's tokens issued then have been revoked since. */
  isRevoked: (recipientId: string, issuedAt: Date) => Promise<boolean>;
  streams: Streams;
  frames: Frames;
  hub: Hub;
  position: () => Cursor | undefined;
  read: FollowOptions["read"];
  replayLimit: number;
  maxBufferedBytes: number;
  metrics: Metrics;
  log: Logger;
}

/**
 * `GET /stream`. For good: 401, and 429 where the recipient has too many streams. Whatever will pass (the database
 * is away, or the keys for tokens; draining, overload) is 200, `retry` and an end: any other status stops a
 * browser's EventSource for ever.
 */
export function streamRoute(options: StreamRouteOptions): RequestHandler {
  const { authenticate, isRevoked, streams, position, log } = options;

  return async (req, res) => {
    const identity = await authenticate(req).catch((err) => {
      if (!(err instanceof Problem) || err.status !== 503) throw err;
      log.warn({ err }, "cannot open a stream");
      return undefined;
    });
    if (!identity) return sendAway(res);
    // Before the look at revocations, so that one that comes later is in the stream's first read.
    const start = position();
    const isOut = await isRevoked(identity.recipientId, identity.issuedAt).catch((err) => {
      log.warn({ err }, "cannot open a stream");
      return undefined;
    });
    if (isOut) throw tokenInvalid();
    // Nothing may be awaited from here on: the limits are counted, and a client that left is noticed, now.
    if (res.destroyed) return;
    // Behind another answer on its connection (pipelining): nobody would tell us when the client has gone.
    if (!res.socket) return sendAway(res);
    const refusal = streams.refusal(identity.recipientId);
    if (refusal === "recipient_full") throw tooManyStreams();
    if (refusal || !start || isOut === undefined) return sendAway(res);
    if (req.method === "HEAD") {
      startEventStream(res);
      return void res.end();
    }
    openStream(req, res, identity, start, options);
  };
}

function openStream(
  req: Request,
  res: Response,
  identity: Identity,
  position: Cursor,
  options: StreamRouteOptions,
) {
  const { streams, frames, hub, read, replayLimit, maxBufferedBytes, metrics, log } = options;
  const { isRevoked } = options;
  const { recipientId } = identity;
  const { requestId } = res.locals;
  const stream = openEventStream(res, {
    maxBufferedBytes,
    onClose(reason) {
      remove();
      stop();
      metrics.streamClosed(reason);
      log.info({ requestId, reason }, "stream closed");
    },
  });
  const remove = streams.add(stream, identity);
  log.info({ requestId, streams: streams.size() }, "stream opened");

  const stop = follow({
    hub,
    recipientId,
    since: lastEventId(req),
    position,
    read,
    replayLimit,
    sink: {
      ready: (counts, resumeAt) => stream.write(frames.ready(counts, resumeAt)),
      send(event, isLive) {
        const keepsUp = stream.write(frames.delivered(event));
        metrics.delivered(event, isLive);
        return keepsUp;
      },
      reset(reason, unread, at) {
        metrics.streamReset(reason);
        stream.write(frames.reset(reason, unread, at));
      },
      checkToken() {
        isRevoked(recipientId, identity.issuedAt).then(
          (isOut) => isOut && stream.close("revoked", frames.auth("revoked")),
          // Not to be known now: let it come again, and be asked at the door.
          () => stream.close("unavailable"),
        );
      },
      drained: () => stream.drained(),
      fail(err) {
        log.warn({ err, requestId }, "replay failed");
        stream.close("unavailable");
      },
    },
  });
}

/** What a browser sends by itself wins over the address, which is as old as the page. */
function lastEventId(req: Request): FollowOptions["since"] {
  const value = req.get("last-event-id") || req.query.lastEventId || req.query.last_event_id;
  if (!value) return "now";
  return (typeof value === "string" ? parseCursor(value) : undefined) ?? "unknown";
}

function sendAway(res: Response): void {
  startEventStream(res);
  res.end(encodeRetry(retryMs()));
}

const tooManyStreams = () =>
  new Problem(429, "too_many_streams", "This recipient has too many open streams. Close one.", {
    headers: { "Retry-After": String(Math.round(30 + Math.random() * 30)) },
  });

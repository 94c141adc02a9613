import type { Socket } from "node:net";
import type { RequestHandler, Response } from "express";
import {
  type Admission,
  type Admitted,
  isRefusal,
  type Refusal,
} from "../../connections/admission.ts";
import type { CloseReason } from "../../connections/close-reason.ts";
import type { Followers } from "../../connections/followers.ts";
import { createFrames, type Frames } from "../../connections/frames.ts";
import { readLastEventId } from "../../connections/last-event-id.ts";
import type { Leave } from "../../connections/limits.ts";
import type { Registry } from "../../connections/registry.ts";
import { RETRY_MS } from "../../connections/retry-ms.ts";
import { nameRecipient } from "../../http/auth/identify.ts";
import { toIncomingRequest } from "../../http/incoming-request.ts";
import { lentSocketOf } from "../../http/lent-socket.ts";
import type { NotificationEncoder } from "../../http/notification-json.ts";
import type { FollowOptions } from "../../hub/follow.ts";
import type { Logger } from "../../logger.ts";
import { openEventStream } from "./event-stream.ts";
import { bytesOf, type Frame, toFrame } from "./frame.ts";
import { takeSocket, writeHead } from "./head.ts";
import { wantsChunks } from "./wants-chunks.ts";

export interface StreamRouteOptions {
  admission: Admission;
  registry: Registry;
  followers: Followers;
  version: string;
  encoder: NotificationEncoder;
  maxBufferedBytes: number;
  log: Logger;
}

/**
 * `GET /stream`. A permanent refusal is 401, 403, or 429 if the recipient has too many streams. A temporary refusal is 200 with one
 * ping that has `retry`, and then the end, because any other status ends a browser's EventSource for good.
 */
export function streamRoute(options: StreamRouteOptions): RequestHandler {
  const { admission, version, encoder } = options;
  const frames = createFrames({ version, encoder, toFrame });
  const openStream = createOpener(options, frames);

  return async (req, res) => {
    const request = toIncomingRequest(req);
    const since = readLastEventId(request);
    const refuse = (refusal: Refusal) =>
      sendRefusal(res, refusal, frames.refusal(since, refusal.retryMs));

    const tooFast = admission.checkRate(request);
    if (tooFast) return refuse(tooFast);
    const admitted = await admission.identify(request);
    if (isRefusal(admitted)) return refuse(admitted);

    // Await nothing from here on. Otherwise the client could leave after this check, unnoticed.
    if (res.destroyed) return admission.leave(admitted);
    nameRecipient(res, admitted.identity);
    const leave = lentSocketOf(res) ? admission.enter() : admission.refuse("unavailable");
    if (isRefusal(leave)) {
      admission.leave(admitted);
      return refuse(leave);
    }
    if (req.method === "HEAD") {
      leave();
      admission.leave(admitted);
      writeHead(res);
      return void res.end();
    }
    const isChunked = wantsChunks(req);
    const socket = takeSocket(res, isChunked);
    openStream({ socket, isChunked, requestId: res.locals.requestId, since, admitted, leave });
  };
}

function sendRefusal(res: Response, { retryMs }: Refusal, lastFrame: Frame): void {
  // For clients that are not an EventSource.
  res.set("Retry-After", String(Math.ceil(retryMs / 1000)));
  writeHead(res);
  res.end(bytesOf(lastFrame, false));
}

interface Opening {
  socket: Socket;
  isChunked: boolean;
  requestId: string;
  since: FollowOptions["since"];
  admitted: Admitted;
  leave: Leave;
}

/** Opens streams. What all streams share is kept here once, because thousands are open. */
function createOpener(
  { registry, followers, ...options }: StreamRouteOptions,
  frames: Frames<Frame>,
) {
  const { maxBufferedBytes, log } = options;
  const settings = { maxBufferedBytes, frames, retryMs: () => RETRY_MS.opened(registry.size()) };
  const refusalFor = (since: Opening["since"]) => () => frames.refusal(since, RETRY_MS.refused());

  return ({ socket, isChunked, requestId, since, admitted, leave }: Opening): void => {
    function onClose(reason: CloseReason) {
      registry.remove(entry, reason);
      log.info({ requestId, reason }, "stream closed");
    }
    // The refusal is dropped when the stream begins, so it must not be in the scope of `onClose`, which stays.
    const refusal = refusalFor(since);
    const stream = openEventStream(socket, { isChunked, refusal, onClose }, settings);
    const entry = registry.add(stream, leave);
    log.info({ requestId, streams: registry.size() }, "stream opened");
    followers.start({ entry, admitted, since, outlet: stream, requestId });
  };
}

import { type Api, Failure } from "./api.ts";
import { readEvents, type ServerEvent } from "./event-stream.ts";
import type { Changes } from "./inbox.ts";
import { type Attempt, keepTrying, type Reports, type Trying } from "./keep-trying.ts";
import type { Poll } from "./wire.ts";

export interface ConnectionOptions extends Reports {
  api: Api;
  /** The position from which it goes on. */
  since: string;
  /** Streams are not tried. */
  polls: boolean;
  /** What has happened, with the position after it. */
  onChanges: (changes: Changes) => void;
}

/** A stream whose first event takes longer is held back on the way. */
const READY_MS = 10_000;
/** Pings come at least every 30 s. Two were missed. */
const SILENT_MS = 65_000;
/** After so many streams that were held back it polls. */
const MUTE_STREAMS = 3;
/** Then it tries again what was held back. */
const AGAIN_MS = 300_000;
/** Polls that wait are held back as well if they take longer than this. No row may be later than 30 s. */
const POLL_LIMIT_MS = 29_000;
const POLL_S = 20;
/** A stream stays open for so long, also where tokens are always about to expire. */
const RENEW_MS = 5000;

/**
 * Follows the recipient from a position on: by a stream, and where streams are held back, by polls. Both have the same positions, so nothing is lost or told
 * twice when one follows the other.
 */
export function connect({
  api,
  since,
  polls,
  onChanges,
  onStatus,
  log,
}: ConnectionOptions): Trying {
  let cursor = since;
  let mutes = polls ? MUTE_STREAMS : 0;
  let streamedAt = Date.now();
  /** The stream had nothing for too long. What came meanwhile must be polled, and if polls get through, the stream is held back. */
  let isBehind = false;
  /** A poll was just answered, so the next one may wait at the service. */
  let isPolling = false;
  /** Until then polls do not wait, because they were held back. */
  let noWaitUntil = 0;

  const trying = keepTrying(attempt, { onStatus, log });

  async function attempt(own: Attempt): Promise<number> {
    const isStreaming =
      !isBehind && (mutes < MUTE_STREAMS || (!polls && Date.now() - streamedAt > AGAIN_MS));
    const waitS = isPolling && Date.now() > noWaitUntil ? POLL_S : 0;
    isPolling = false;
    return await (isStreaming ? stream(own) : poll(own, waitS));
  }

  async function stream({ signal, giveUpIn }: Attempt): Promise<never> {
    let retryMs = 0;
    streamedAt = Date.now();
    giveUpIn(READY_MS, () => {
      isBehind = true;
      return undefined;
    });
    await readEvents(await api.ask(`/stream?lastEventId=${cursor}`, { signal }), (event) => {
      retryMs = Number(event.retry ?? retryMs);
      giveUpIn(SILENT_MS, () => {
        isBehind = true;
        return new Failure("away", "the stream is silent");
      });
      receive(event, giveUpIn);
    });
    throw new Failure("away", "the stream ended", retryMs);
  }

  function receive({ event, data = "{}", id }: ServerEvent, giveUpIn: Attempt["giveUpIn"]): void {
    const { unread, unseen, reason, ...rest } = JSON.parse(data);
    if (event === "ready") {
      trying.reach("live");
      log("connected");
    } else mutes = 0;
    if (event === "ping") log("heartbeat");
    else if (event === "auth") onToken(reason, giveUpIn);
    // Only a reset has a reason here.
    else if (id) {
      const changes = event === "notification" ? { notifications: [rest] } : rest;
      emit({ ...changes, unread, unseen, cursor: id, reset: reason });
    }
  }

  function onToken(reason: string, giveUpIn: Attempt["giveUpIn"]): void {
    log(`the token: ${reason}`);
    if (api.renewToken(reason) && reason === "expiring")
      setTimeout(giveUpIn, streamedAt + RENEW_MS - Date.now(), 0, () => undefined);
  }

  async function poll({ signal, giveUpIn }: Attempt, waitS: number): Promise<number> {
    if (waitS > 0)
      giveUpIn(POLL_LIMIT_MS, () => {
        log("polls held back");
        noWaitUntil = Date.now() + AGAIN_MS;
        return undefined;
      });
    const path = `/poll?since=${cursor}&wait=${waitS}`;
    const answer = await api.json<Poll>(path, { signal });
    if (isBehind) log(`streams held back: ${++mutes}`);
    isBehind = false;
    isPolling = true;
    trying.reach("polling");
    emit(answer);
    return Date.now() < noWaitUntil ? 15_000 + Math.random() * 15_000 : 0;
  }

  function emit(changes: Changes): void {
    cursor = changes.cursor ?? cursor;
    onChanges(changes);
  }

  return trying;
}

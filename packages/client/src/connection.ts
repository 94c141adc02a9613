import { type Api, Failure } from "./api.ts";
import { readEvents, type ServerEvent } from "./event-stream.ts";
import { keepTrying, type Reports } from "./keep-trying.ts";
import type { Counts, Notification, PollAnswer, StateChange } from "./notification.ts";

/** What has happened, with the position after it, if there is one. All tabs get it. */
export type BellEvent = { id?: string | undefined } & (
  | { name: "notification"; data: Notification & Counts }
  | { name: "state"; data: StateChange }
  | { name: "counts"; data: Counts }
  | { name: "reset" }
);

export interface ConnectionOptions extends Reports {
  api: Api;
  /** The position from which it goes on. */
  since: string;
  /** Streams are not tried. */
  polls: boolean;
  onEvent: (event: BellEvent) => void;
}

export interface Connection {
  /** The page was shown again, or the network came back. */
  wake(): void;
  close(): void;
}

/** A stream whose first event takes longer is held back on the way. */
const READY_MS = 10_000;
/** Pings come at least every 30 s. Two were missed. */
const SILENT_MS = 65_000;
/** After a longer silence the network may have changed, and the connection may be dead. */
const STALE_MS = 45_000;
/** After so many streams that were held back it polls. */
const MUTE_STREAMS = 3;
const STREAM_AGAIN_MS = 300_000;
const [POLL_S, POLL_LIMIT_MS] = [25, 35_000];
/** A revoked recipient's new token is refused for up to half a minute. */
const REVOKED_MS = 60_000;

const RENEW_MS = 5000;

class Mute extends Error {}

/**
 * Follows the recipient from a position on: by a stream, and where streams are held back, by polls. Both have the same positions, so nothing is lost or told
 * twice when one follows the other.
 */
export function connect({
  api,
  since,
  polls,
  onEvent,
  onStatus,
  log,
}: ConnectionOptions): Connection {
  let cursor = since;
  let heardAt = Date.now();
  let mutes = polls ? MUTE_STREAMS : 0;
  let streamedAt = Date.now();
  /** The last attempt was a poll that was answered, so the next one may wait at the service. */
  let isPolling = false;
  let isPollHeld = false;
  let revokedAt = Number.NEGATIVE_INFINITY;

  const trying = keepTrying(attempt, { onStatus, log });

  async function attempt(signal: AbortSignal): Promise<number> {
    try {
      const isStreaming =
        mutes < MUTE_STREAMS || (!polls && Date.now() - streamedAt > STREAM_AGAIN_MS);
      return await (isStreaming
        ? stream(signal)
        : poll(signal, isPolling && !isPollHeld ? POLL_S : 0));
    } catch (failure) {
      isPolling = false;
      if (!(failure instanceof Failure)) throw failure;
      if (failure.kind === "invalid") {
        // The position is of another history. The list gives a new one.
        const { cursor: position } = await api.get<{ cursor: string }>("?limit=1", signal);
        emit({ name: "reset", id: position });
        return 0;
      }
      if (failure.kind === "unauthorized" && Date.now() - revokedAt < REVOKED_MS)
        throw new Failure("away", failure.message, 5000);
      throw failure;
    }
  }

  async function stream(signal: AbortSignal): Promise<number> {
    const own = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const expectWithin = (ms: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => own.abort(new Mute("the stream is held back")), ms);
    };
    let isReady = false;
    let retryMs = 0;
    streamedAt = Date.now();
    isPolling = false;
    expectWithin(READY_MS);
    try {
      await readEvents(await api.stream(cursor, anyOf(signal, own.signal)), (event) => {
        heardAt = Date.now();
        retryMs = event.retryMs ?? retryMs;
        if (event.name === "ready") {
          isReady = true;
          mutes = 0;
          trying.reach("live");
          log("connected");
        }
        if (isReady) expectWithin(SILENT_MS);
        receive(event, own);
      });
    } catch (failure) {
      if (own.signal.reason === RENEWED) return 0;
      if (!(own.signal.reason instanceof Mute)) throw failure;
      log(`${own.signal.reason.message}, for the ${++mutes}. time`);
      // What came meanwhile.
      return await poll(signal, 0);
    } finally {
      clearTimeout(timer);
      own.abort();
    }
    trying.lose();
    log(`the stream ended; again in ${(retryMs / 1000).toFixed(1)} s`);
    return retryMs || Math.random() * 1000;
  }

  function receive({ name, data, id }: ServerEvent, own: AbortController): void {
    if (name === "ping") log("heartbeat");
    else if (name === "auth") onToken(JSON.parse(data).reason, own);
    else if (name === "notification" || name === "state")
      emit({ name, id, data: JSON.parse(data) });
    else if (name === "reset") emit({ name, id });
    else if (name === "ready") emit({ name: "counts", id, data: JSON.parse(data) });
  }

  function onToken(reason: string, own: AbortController): void {
    log(`the token: ${reason}`);
    if (reason === "revoked") revokedAt = Date.now();
    // Not at once again, where tokens are always about to expire.
    if (api.renewToken() && reason === "expiring")
      setTimeout(() => own.abort(RENEWED), streamedAt + RENEW_MS - Date.now());
  }

  async function poll(signal: AbortSignal, waitS: number): Promise<number> {
    const limit = AbortSignal.timeout(POLL_LIMIT_MS);
    let answer: PollAnswer;
    try {
      answer = await api.get(`/poll?since=${cursor}&wait=${waitS}`, anyOf(signal, limit));
    } catch (failure) {
      if (!limit.aborted || waitS === 0) throw failure;
      log("polls are held back as well");
      isPollHeld = true;
      return 0;
    }
    heardAt = Date.now();
    isPolling = true;
    trying.reach("polling");
    const { all, removed = [], notifications, changes, unread, unseen } = answer;
    const counts = { unread, unseen };
    if (answer.reset) emit({ name: "reset", id: answer.cursor });
    if (all || removed.length > 0)
      emit({ name: "state", data: { all: all ?? null, removed, changes: [], ...counts } });
    for (const each of notifications) emit({ name: "notification", data: { ...each, ...counts } });
    emit({ name: "state", id: answer.cursor, data: { changes, ...counts } });
    return isPollHeld ? 15_000 + Math.random() * 15_000 : 0;
  }

  function emit(event: BellEvent): void {
    cursor = event.id ?? cursor;
    onEvent(event);
  }

  return {
    wake: () => trying.wake(Date.now() - heardAt > STALE_MS),
    close: trying.close,
  };
}

const RENEWED = new Error("a new token");

/** `AbortSignal.any` is not in every browser. */
function anyOf(...signals: AbortSignal[]): AbortSignal {
  const any = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) any.abort(signal.reason);
    signal.addEventListener("abort", () => any.abort(signal.reason), { once: true });
  }
  return any.signal;
}

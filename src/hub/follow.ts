import type { RecipientPage } from "../changes/changes.ts";
import { type Cursor, placeOfLast } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset } from "../changes/snapshot.ts";
import type { CountsAt } from "./counts.ts";
import { createEventPage, type EventPage, narrow, type RecipientEvent } from "./events.ts";
import type { Hub } from "./hub.ts";

/** Why a client must fetch its list again. A closed list, so clients can rely on it. */
export type ResetReason = "cursor_unknown" | "cursor_expired" | "epoch_changed" | "too_many";

/** An open stream, as its follower sees it. None of these throw. */
export interface Sink {
  /** First, once. `resumeAt` is where to resume if the connection is cut right behind it. */
  ready(counts: Counts, resumeAt: Cursor | "unknown"): void;
  /** False when the stream holds too much unsent data. */
  send(event: RecipientEvent, isLive: boolean): boolean;
  reset(reason: ResetReason, counts: Counts, position: Cursor): void;
  /** The recipient may have been revoked: end if this stream's token was issued before that. */
  checkToken(): void;
  /** All there was at the last read has been sent; whatever came meanwhile is read next. */
  caughtUp?(): void;
  /** Resolves when nothing is unsent any more, or the stream has ended. */
  drained(): Promise<void>;
  /** The database did not answer; the client must come again. */
  fail(error: unknown): void;
}

export interface FollowOptions {
  hub: Hub;
  recipientId: string;
  /** Where the client stands: a cursor, nowhere yet, or something that is no cursor of ours. */
  since: Cursor | "now" | "unknown";
  /** Where the feed stands. */
  position: Cursor;
  /** The next page, small enough to be sent before the one after it is fetched. */
  read: (from: Cursor, recipientId: string) => Promise<RecipientPage>;
  /** More missed notifications than this are a reset; what was only changed or removed never is. */
  replayLimit: number;
  sink: Sink;
}

/**
 * Sends a recipient everything since a cursor, then what comes, each once. Returns the function that ends it.
 *
 * A follower is replaying or live. Replaying, it reads pages from the table and waits for the client
 * between them; what the feed hands it meanwhile it only notes, and reads again. It goes live after a read
 * during which nothing came; subscribed since before its first read, it has then missed nothing. Live, it sends
 * what the feed hands it, less what a replay that read past the feed has sent already. A client that
 * cannot keep up is replayed to again, at its own pace: the table remembers for it.
 */
export function follow(options: FollowOptions): () => void {
  const { hub, recipientId, since, read, replayLimit, sink } = options;
  /** The position after the last event sent: where the client would resume, and where we read on. */
  let cursor = typeof since === "object" ? since : options.position;
  /** When the last page of its own came, and what it shows. */
  let lastRead = { cameAt: 0, moment: cursor.at };
  let isReplaying = true;
  let hasMissed = false;
  let isClosed = false;

  /** False when the client does not keep up. The rest is then not sent, nor kept: it will be read again. */
  function send(delivery: EventPage, isLive: boolean): boolean {
    for (const event of delivery.events) {
      const keepsUp = sink.send(event, isLive);
      cursor = event.cursor;
      if (!keepsUp) return false;
    }
    if (delivery.isLast) cursor = { epoch: delivery.epoch, at: delivery.upto };
    return true;
  }

  async function replay(isFirst: boolean) {
    isReplaying = true;
    await sink.drained();
    while (!isClosed) {
      hasMissed = false;
      const tally = await replayPage(isFirst);
      await sink.drained();
      if (isClosed) return;
      isFirst = false;
      if (tally) sink.caughtUp?.();
      if (!tally || hasMissed) continue;
      subscription.setCounts(tally);
      break;
    }
    isReplaying = false;
  }

  /**
   * The recipient's counts where the client now has everything up to this read. A function of its own, so that nobody
   * holds the page while the client takes it.
   */
  async function replayPage(isFirst: boolean): Promise<CountsAt | undefined> {
    const from = cursor;
    const page = await read(from, recipientId);
    if (isClosed) return undefined;
    lastRead = { cameAt: performance.now(), moment: page.moment };
    if (page.isForeign || page.revoked.includes(recipientId)) sink.checkToken();
    const position: Cursor = { epoch: page.epoch, at: page.present };
    const reason = whyReset(page, isFirst ? since : undefined, replayLimit);
    const isFresh = isFirst && since === "now" && !reason;
    const isUpToDate = !placeOfLast(page) && page.isLast && !from.reading && !reason;
    if (isFirst) {
      const own = since === "unknown" ? since : from;
      sink.ready(page, isFresh || isUpToDate ? position : own);
    }
    if (reason) sink.reset(reason, page, position);
    let isSent = true;
    if (reason || isFresh) cursor = position;
    else isSent = send(createEventPage(page, page, page), false);
    // The end of an earlier read is not the present: read on from there.
    if (!isSent || !page.isLast || from.reading) return undefined;
    const { unread, unseen, moment } = page;
    return { unread, unseen, at: moment };
  }

  function deliverLive(delivery: EventPage) {
    // Read before our own page was, and come after it: of what has changed again, or is gone, it has an older state, and
    // `cursor` cannot tell, which ends at the newest row there is. By the time as well, for after a crash of the server ids
    // of transactions come again.
    if (delivery.askedAt < lastRead.cameAt && isSubset(delivery.moment, lastRead.moment)) return;
    try {
      const missing = narrow(delivery, cursor.at);
      if (!missing || !send(missing, true)) startReplay(false);
    } catch (error) {
      sink.fail(error);
    }
  }

  function startReplay(isFirst: boolean) {
    replay(isFirst).catch((error) => {
      if (!isClosed) sink.fail(error);
    });
  }

  const subscription = hub.subscribe(recipientId, {
    deliver(delivery) {
      if (isReplaying) hasMissed = true;
      else deliverLive(delivery);
    },
    readAgain() {
      if (isReplaying) hasMissed = true;
      else startReplay(false);
    },
    revoke: sink.checkToken,
  });
  startReplay(true);

  return () => {
    isClosed = true;
    subscription.unsubscribe();
  };
}

/** `since` only of a first page. */
function whyReset(
  page: RecipientPage,
  since: FollowOptions["since"] | undefined,
  replayLimit: number,
): ResetReason | undefined {
  if (page.isRefused || since === "unknown") return "cursor_unknown";
  if (page.isForeign) return "epoch_changed";
  if (since === "now") return undefined;
  if (page.isExpired) return "cursor_expired";
  return page.fresh > replayLimit ? "too_many" : undefined;
}

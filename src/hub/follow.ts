import type { RecipientPage } from "../changes/changes.ts";
import { type Cursor, lastPlace } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset } from "../changes/snapshot.ts";
import type { CountsAt } from "./counts.ts";
import { type EventPage, type RecipientEvent, toEventPage, trimSent } from "./events.ts";
import type { Hub } from "./hub.ts";

/** Why a client must fetch its list again. A closed list, so clients can rely on it. */
export type ResetReason = "cursor_unknown" | "cursor_expired" | "epoch_changed" | "too_many";

/** Where a follower sends: one open stream, or the answer to one poll. None of these may throw. */
export interface Sink {
  /** Called first, and once. If the client gets nothing more, it resumes at `resumeAt`. */
  ready(counts: Counts, resumeAt: Cursor | "unknown"): void;
  /** False when the client does not keep up: too much data is unsent. */
  send(event: RecipientEvent, isLive: boolean): boolean;
  reset(reason: ResetReason, counts: Counts, position: Cursor): void;
  /** The recipient may have been revoked. End the connection if its token was issued before that. */
  checkToken(): void;
  /** Everything up to the last read has been sent. If more has come since, another read follows. */
  caughtUp?(): void;
  /** Resolves when all data has been sent, or the connection has ended. */
  drained(): Promise<void>;
  /** A read failed: end the connection, so that the client reconnects. */
  fail(error: unknown): void;
}

export interface FollowOptions {
  hub: Hub;
  recipientId: string;
  /** The client's position: a cursor; `now` for a new client; `unknown` for a text that is no cursor. */
  since: Cursor | "now" | "unknown";
  /** The feed's position. */
  position: Cursor;
  /** Reads the next page. Pages are small: the follower sends each before it reads the next. */
  read: (from: Cursor, recipientId: string) => Promise<RecipientPage>;
  /** A client that missed more new notifications than this is reset. Any number of changes and removals is replayed. */
  replayLimit: number;
  sink: Sink;
}

/**
 * Sends a recipient everything since a cursor, then everything that comes, each once. Returns the function that ends it.
 *
 * A follower is replaying or live. While it replays, it reads pages from the table, and waits after each until the client has read
 * it. If the feed hands it a page meanwhile, it only notes that, and reads again. It goes live after a read during which the feed
 * handed it nothing. Because it subscribed before its first read, it has missed nothing by then. While it is live, it sends what the
 * feed hands it, except what its own replay has sent already, because a replay may read further than the feed. When the client does
 * not keep up, the follower replays again, at the client's pace: the table still has the unsent rows.
 */
export function follow(options: FollowOptions): () => void {
  const { hub, recipientId, since, read, replayLimit, sink } = options;
  /** The position after the last event sent: where the client would resume, and where the next read begins. */
  let cursor = typeof since === "object" ? since : options.position;
  /** When this follower's own last page came, and the snapshot it was read in. */
  let lastRead = { cameAt: 0, moment: cursor.at };
  let isReplaying = true;
  let hasMissed = false;
  let isClosed = false;

  /** False when the client does not keep up. The rest of the page is then neither sent nor kept, and is read again later. */
  function send(page: EventPage, isLive: boolean): boolean {
    for (const event of page.events) {
      const keepsUp = sink.send(event, isLive);
      cursor = event.cursor;
      if (!keepsUp) return false;
    }
    if (page.isLast) cursor = { epoch: page.epoch, at: page.upto };
    return true;
  }

  async function replay(isFirst: boolean) {
    isReplaying = true;
    await sink.drained();
    while (!isClosed) {
      hasMissed = false;
      const counts = await replayPage(isFirst);
      await sink.drained();
      if (isClosed) return;
      isFirst = false;
      if (counts) sink.caughtUp?.();
      if (!counts || hasMissed) continue;
      subscription.setCounts(counts);
      break;
    }
    isReplaying = false;
  }

  /**
   * Returns the recipient's counts if the client now has everything up to this read, and otherwise undefined. It is a separate
   * function, so that no variable holds the page in memory while the client reads it.
   */
  async function replayPage(isFirst: boolean): Promise<CountsAt | undefined> {
    const from = cursor;
    const page = await read(from, recipientId);
    if (isClosed) return undefined;
    lastRead = { cameAt: performance.now(), moment: page.moment };
    if (page.isForeign || page.revoked.includes(recipientId)) sink.checkToken();
    const position: Cursor = { epoch: page.epoch, at: page.present };
    const reason = whyReset(page, isFirst ? since : undefined, replayLimit);
    const startsNow = isFirst && since === "now" && !reason;
    const isUpToDate = !lastPlace(page) && page.isLast && !from.reading && !reason;
    if (isFirst) {
      const own = since === "unknown" ? since : from;
      sink.ready(page, startsNow || isUpToDate ? position : own);
    }
    if (reason) sink.reset(reason, page, position);
    let isSent = true;
    if (reason || startsNow) cursor = position;
    else isSent = send(toEventPage(page, page, page), false);
    // A page that finishes an earlier read ends where that read ended, which is not the present: read on from there.
    if (!isSent || !page.isLast || from.reading) return undefined;
    const { unread, unseen, moment } = page;
    return { unread, unseen, at: moment };
  }

  function deliverLive(page: EventPage) {
    // The feed read this page before we read our own last page, but the page came later. If a row was changed again or removed in
    // between, the page has its older state. `cursor` does not show that, because it ends at the newest row. The times must be
    // compared too, because after a crash the server reuses transaction ids.
    if (page.askedAt < lastRead.cameAt && isSubset(page.moment, lastRead.moment)) return;
    try {
      const unsent = trimSent(page, cursor.at);
      if (!unsent || !send(unsent, true)) startReplay(false);
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
    deliver(page) {
      if (isReplaying) hasMissed = true;
      else deliverLive(page);
    },
    readAgain() {
      if (isReplaying) hasMissed = true;
      else startReplay(false);
    },
    checkToken: sink.checkToken,
  });
  startReplay(true);

  return () => {
    isClosed = true;
    subscription.unsubscribe();
  };
}

/** `since` is given for a first page only. */
function whyReset(
  page: RecipientPage,
  since: FollowOptions["since"] | undefined,
  replayLimit: number,
): ResetReason | undefined {
  if (page.isRefused || since === "unknown") return "cursor_unknown";
  if (page.isForeign) return "epoch_changed";
  if (since === "now") return undefined;
  if (page.isExpired) return "cursor_expired";
  return page.remainingNew > replayLimit ? "too_many" : undefined;
}

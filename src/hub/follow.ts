import type { RecipientPage } from "../changes/changes.ts";
import { type Cursor, lastPlace } from "../changes/cursor.ts";
import type { Counts } from "../changes/notification.ts";
import { isSubset, type Snapshot } from "../changes/snapshot.ts";
import type { CountsAt } from "./counts.ts";
import { type EventPage, type RecipientEvent, toEventPage, trimSent } from "./events.ts";
import type { Hub, Subscriber } from "./hub.ts";

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

/** Where a follower reads. */
export interface Source {
  /** Reads the next page. Pages are small: the follower sends each before it reads the next. */
  read(from: Cursor, recipientId: string): Promise<RecipientPage>;
}

export interface FollowOptions {
  hub: Hub;
  recipientId: string;
  /** The client's position: a cursor; `now` for a new client; `unknown` for a text that is no cursor. */
  since: Cursor | "now" | "unknown";
  /** The feed's position. */
  position: Cursor;
  source: Source;
  /** A client that missed more new notifications than this is reset. Any number of changes and removals is replayed. */
  replayLimit: number;
  sink: Sink;
}

/**
 * Sends a recipient everything since a cursor, then everything that comes, each once, until it is closed.
 *
 * A follower is replaying or live. While it replays, it reads pages from the table, and waits after each until the client has read
 * it. If the feed hands it a page meanwhile, it only notes that, and reads again. It goes live after a read during which the feed
 * handed it nothing. Because it subscribed before its first read, it has missed nothing by then. While it is live, it sends what the
 * feed hands it, except what its own replay has sent already, because a replay may read further than the feed. When the client does
 * not keep up, the follower replays again, at the client's pace: the table still has the unsent rows.
 */
export const follow = (options: FollowOptions): { close(): void } => new Follower(options);

/** A class, because thousands are open: each function that an object has of its own takes 56 bytes. */
class Follower implements Subscriber {
  readonly #hub: Hub;
  readonly #recipientId: string;
  readonly #source: Source;
  readonly #replayLimit: number;
  readonly #sink: Sink;
  /** The position after the last event sent: where the client would resume, and where the next read begins. */
  #cursor: Cursor;
  /** When this follower's own last page came, and the snapshot it was read in. */
  #lastReadAt = 0;
  #lastMoment: Snapshot;
  #isReplaying = true;
  #hasMissed = false;
  #isClosed = false;

  constructor({ hub, recipientId, since, position, source, replayLimit, sink }: FollowOptions) {
    this.#hub = hub;
    this.#recipientId = recipientId;
    this.#source = source;
    this.#replayLimit = replayLimit;
    this.#sink = sink;
    this.#cursor = typeof since === "object" ? since : position;
    this.#lastMoment = this.#cursor.at;
    hub.subscribe(recipientId, this);
    this.#startReplay(since);
  }

  close(): void {
    this.#isClosed = true;
    this.#hub.unsubscribe(this.#recipientId, this);
  }

  /** False when the client does not keep up. The rest of the page is then neither sent nor kept, and is read again later. */
  #send(page: EventPage, isLive: boolean): boolean {
    for (const event of page.events) {
      const keepsUp = this.#sink.send(event, isLive);
      this.#cursor = event.cursor;
      if (!keepsUp) return false;
    }
    if (page.isLast) this.#cursor = { epoch: page.epoch, at: page.upto };
    return true;
  }

  /** `since` is given for a first replay only. */
  async #replay(since?: FollowOptions["since"]) {
    this.#isReplaying = true;
    await this.#sink.drained();
    while (!this.#isClosed) {
      this.#hasMissed = false;
      const counts = await this.#replayPage(since);
      await this.#sink.drained();
      if (this.#isClosed) return;
      since = undefined;
      if (counts) this.#sink.caughtUp?.();
      if (!counts || this.#hasMissed) continue;
      this.#hub.setCounts(this.#recipientId, counts);
      break;
    }
    this.#isReplaying = false;
  }

  /**
   * Returns the recipient's counts if the client now has everything up to this read, and otherwise undefined. It is a separate
   * function, so that no variable holds the page in memory while the client reads it.
   */
  async #replayPage(since?: FollowOptions["since"]): Promise<CountsAt | undefined> {
    const from = this.#cursor;
    const page = await this.#source.read(from, this.#recipientId);
    if (this.#isClosed) return undefined;
    this.#lastReadAt = performance.now();
    this.#lastMoment = page.moment;
    if (page.isForeign || page.revoked.includes(this.#recipientId)) this.#sink.checkToken();
    const position: Cursor = { epoch: page.epoch, at: page.present };
    const reason = whyReset(page, since, this.#replayLimit);
    const startsNow = since === "now" && !reason;
    const isUpToDate = !lastPlace(page) && page.isLast && !from.reading && !reason;
    if (since) {
      const own = since === "unknown" ? since : from;
      this.#sink.ready(page, startsNow || isUpToDate ? position : own);
    }
    if (reason) this.#sink.reset(reason, page, position);
    let isSent = true;
    if (reason || startsNow) this.#cursor = position;
    else isSent = this.#send(toEventPage(page, page, page), false);
    // A page that finishes an earlier read ends where that read ended, which is not the present: read on from there.
    if (!isSent || !page.isLast || from.reading) return undefined;
    const { unread, unseen, moment } = page;
    return { unread, unseen, at: moment };
  }

  #startReplay(since?: FollowOptions["since"]) {
    this.#replay(since).catch((error) => {
      if (!this.#isClosed) this.#sink.fail(error);
    });
  }

  #deliverLive(page: EventPage) {
    // The feed read this page before we read our own last page, but the page came later. If a row was changed again or removed in
    // between, the page has its older state. `cursor` does not show that, because it ends at the newest row. The times must be
    // compared too, because after a crash the server reuses transaction ids.
    if (page.askedAt < this.#lastReadAt && isSubset(page.moment, this.#lastMoment)) return;
    try {
      const unsent = trimSent(page, this.#cursor.at);
      if (!unsent || !this.#send(unsent, true)) this.#startReplay();
    } catch (error) {
      this.#sink.fail(error);
    }
  }

  deliver(page: EventPage): void {
    if (this.#isReplaying) this.#hasMissed = true;
    else this.#deliverLive(page);
  }

  readAgain(): void {
    if (this.#isReplaying) this.#hasMissed = true;
    else this.#startReplay();
  }

  checkToken(): void {
    this.#sink.checkToken();
  }
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

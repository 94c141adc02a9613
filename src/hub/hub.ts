import type { Change, MarkAll, Page, Removal } from "../changes/changes.ts";
import { advanceCounts, type CountsAt, laterOf } from "./counts.ts";
import { createEventPage, type EventPage } from "./events.ts";

/** Somebody connected here, as the hub sees them. None of these may throw or wait. */
export interface Subscriber {
  deliver(delivery: EventPage): void;
  /** What there is, is not delivered: it must be read, from where the subscriber is. */
  readAgain(): void;
  revoke(): void;
}

export interface Subscription {
  /** The subscriber has everything that was published for it, and the database has counted this meanwhile. */
  setCounts(tally: CountsAt): void;
  /** Calling it twice is harmless. */
  unsubscribe(): void;
}

/** Somebody of whom there are streams here. */
interface Recipient {
  readonly subscribers: Set<Subscriber>;
  tally?: CountsAt | undefined;
}

export type Hub = ReturnType<typeof createHub>;

/**
 * Who is connected here. Hands each page of the feed's reads to the streams of its recipients, with the recipient's
 * counts. These are added up here: to count them again for every notification takes the longer the more are unread.
 */
export function createHub() {
  const connected = new Map<string, Recipient>();

  function publishTo(recipientId: string, share: Share, page: AskedPage) {
    const recipient = connected.get(recipientId);
    if (!recipient) return;
    const { subscribers, tally } = recipient;
    const counts = advanceCounts(tally, recipientId, share.rows, page);
    recipient.tally = counts;
    if (!counts) for (const subscriber of subscribers) subscriber.readAgain();
    else {
      const delivery = createEventPage(page, share, counts);
      for (const subscriber of subscribers) subscriber.deliver(delivery);
    }
  }

  return {
    subscribe(recipientId: string, subscriber: Subscriber): Subscription {
      const recipient = connected.get(recipientId) ?? { subscribers: new Set() };
      connected.set(recipientId, recipient);
      const { subscribers } = recipient;
      subscribers.add(subscriber);
      return {
        setCounts(tally) {
          recipient.tally = laterOf(recipient.tally, tally);
        },
        unsubscribe() {
          subscribers.delete(subscriber);
          if (subscribers.size === 0 && connected.get(recipientId) === recipient)
            connected.delete(recipientId);
        },
      };
    },

    publish(changes: Page, askedAt: number): void {
      // First, so that whoever is revoked can be asked for before anything is shown.
      for (const recipientId of changes.revoked)
        for (const subscriber of connected.get(recipientId)?.subscribers ?? []) subscriber.revoke();
      const page = { ...changes, askedAt };
      for (const [recipientId, share] of shareOut(changes, connected))
        publishTo(recipientId, share, page);
    },

    readAgain(): void {
      for (const recipient of connected.values()) {
        recipient.tally = undefined;
        for (const subscriber of recipient.subscribers) subscriber.readAgain();
      }
    },
  };
}

type AskedPage = Page & { readonly askedAt: number };

/** What of a page is one recipient's, in the order it came. */
interface Share {
  readonly marked: MarkAll[];
  readonly removed: Removal[];
  readonly rows: Change[];
}

/** The shares of those who are connected. */
function shareOut({ marked, removed, rows }: Page, connected: ReadonlyMap<string, unknown>) {
  const shares = new Map<string, Share>();
  function shareOf(recipientId: string): Share | undefined {
    if (!connected.has(recipientId)) return undefined;
    const share = shares.get(recipientId) ?? { marked: [], removed: [], rows: [] };
    shares.set(recipientId, share);
    return share;
  }
  for (const mark of marked) shareOf(mark.recipientId)?.marked.push(mark);
  for (const removal of removed) shareOf(removal.recipientId)?.removed.push(removal);
  for (const row of rows) shareOf(row.recipientId)?.rows.push(row);
  return shares;
}

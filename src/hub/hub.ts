import type { Change, MarkAll, Page, Removal } from "../changes/changes.ts";
import { type CountsAt, countsAfter, laterCounts } from "./counts.ts";
import { type EventPage, toEventPage } from "./events.ts";

/** One stream, as the hub sees it. None of these may throw or wait. */
export interface Subscriber {
  deliver(page: EventPage): void;
  /** There are changes that will not be delivered. The subscriber must read them, from its own position. */
  readAgain(): void;
  /** The recipient was revoked: see `Sink`. */
  checkToken(): void;
}

/** A recipient with streams here. */
interface Recipient {
  /** Replaced and not changed: nearly every recipient has one, and a Set takes 160 bytes. */
  subscribers: readonly Subscriber[];
  counts: CountsAt | undefined;
}

export type Hub = ReturnType<typeof createHub>;

/**
 * Knows who is connected here. Hands each page of the feed to the streams of its recipients, with each recipient's counts. The hub
 * adds new rows to the counts itself, because the database would have to count all unread rows again.
 */
export function createHub() {
  const connected = new Map<string, Recipient>();

  function publishTo(recipient: Recipient, content: RecipientContent, page: AskedPage) {
    const { subscribers } = recipient;
    const counts = countsAfter(recipient.counts, content.recipientId, content.changes, page);
    recipient.counts = counts;
    if (!counts) for (const subscriber of subscribers) subscriber.readAgain();
    else {
      const eventPage = toEventPage(page, content, counts, subscribers.length > 1);
      for (const subscriber of subscribers) subscriber.deliver(eventPage);
    }
  }

  return {
    subscribe(recipientId: string, subscriber: Subscriber): void {
      const recipient = connected.get(recipientId);
      if (recipient) recipient.subscribers = recipient.subscribers.concat(subscriber);
      else connected.set(recipientId, { subscribers: [subscriber], counts: undefined });
    },

    /** Calling it twice is harmless. */
    unsubscribe(recipientId: string, subscriber: Subscriber): void {
      const recipient = connected.get(recipientId);
      if (!recipient) return;
      recipient.subscribers = recipient.subscribers.filter((other) => other !== subscriber);
      if (recipient.subscribers.length === 0) connected.delete(recipientId);
    },

    /** A subscriber of the recipient has everything that was published for it so far, and has read these counts itself. */
    setCounts(recipientId: string, counts: CountsAt): void {
      const recipient = connected.get(recipientId);
      if (recipient) recipient.counts = laterCounts(recipient.counts, counts);
    },

    publish(page: Page, askedAt: number): void {
      // Before any event: a revoked stream starts its token check before it is handed anything new.
      for (const recipientId of page.revoked)
        for (const subscriber of connected.get(recipientId)?.subscribers ?? [])
          subscriber.checkToken();
      const askedPage = { ...page, askedAt };
      for (const [recipient, content] of groupByRecipient(page, connected))
        publishTo(recipient, content, askedPage);
    },

    /** How many recipients have streams or waiting polls here. */
    size: () => connected.size,

    readAgain(): void {
      for (const recipient of connected.values()) {
        recipient.counts = undefined;
        for (const subscriber of recipient.subscribers) subscriber.readAgain();
      }
    },
  };
}

type AskedPage = Page & { readonly askedAt: number };

/** One recipient's part of a page, in the page's order. */
interface RecipientContent {
  readonly recipientId: string;
  readonly marked: MarkAll[];
  readonly removed: Removal[];
  readonly changes: Change[];
}

/** Skips recipients who are not connected. */
function groupByRecipient(
  { marked, removed, changes }: Page,
  connected: ReadonlyMap<string, Recipient>,
) {
  const groups = new Map<Recipient, RecipientContent>();
  function groupOf(recipientId: string): RecipientContent | undefined {
    const recipient = connected.get(recipientId);
    if (!recipient) return undefined;
    let group = groups.get(recipient);
    if (!group) {
      group = { recipientId, marked: [], removed: [], changes: [] };
      groups.set(recipient, group);
    }
    return group;
  }
  for (const mark of marked) groupOf(mark.recipientId)?.marked.push(mark);
  for (const removal of removed) groupOf(removal.recipientId)?.removed.push(removal);
  for (const change of changes) groupOf(change.recipientId)?.changes.push(change);
  return groups;
}

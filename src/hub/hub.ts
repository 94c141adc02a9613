import type { Change, Changes } from "../db/changes.ts";
import { createDelivery, type Delivery } from "./delivery.ts";
import { bringUp, later, type Tally } from "./tally.ts";

/** Somebody connected here, as the hub sees them. None of these may throw or wait. */
export interface Subscriber {
  deliver(delivery: Delivery): void;
  /** What there is, is not delivered: it must be read, from where the subscriber is. */
  readAgain(): void;
  revoke(): void;
}

export interface Subscription {
  /** The subscriber has everything that was published for it, and the database has counted this meanwhile. */
  counted(tally: Tally): void;
  /** Calling it twice is harmless. */
  unsubscribe(): void;
}

/** Somebody of whom there are streams here. */
interface Recipient {
  readonly subscribers: Set<Subscriber>;
  tally?: Tally | undefined;
}

export type Hub = ReturnType<typeof createHub>;

/** What is deleted is not announced, so that counts are counted again after a minute, with the next notification. */
const TALLY_IS_GOOD_MS = 60_000;

/**
 * Who is connected here. Hands each page of the feed's reads to the streams of its recipients, with the recipient's
 * counts. These are added up here: to count them again for every notification takes the longer the more are unread.
 */
export function createHub() {
  const connected = new Map<string, Recipient>();

  function publishTo(recipientId: string, rows: readonly Change[], changes: Changes, now: number) {
    const recipient = connected.get(recipientId);
    if (!recipient) return;
    const { subscribers, tally } = recipient;
    const isGood = tally && now - tally.countedAt < TALLY_IS_GOOD_MS;
    const counts = bringUp(isGood ? tally : undefined, recipientId, rows, changes, now);
    recipient.tally = counts;
    if (!counts) for (const subscriber of subscribers) subscriber.readAgain();
    else {
      const delivery = createDelivery(changes, rows, counts);
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
        counted(tally) {
          recipient.tally = later(recipient.tally, tally);
        },
        unsubscribe() {
          subscribers.delete(subscriber);
          if (subscribers.size === 0 && connected.get(recipientId) === recipient)
            connected.delete(recipientId);
        },
      };
    },

    publish(changes: Changes): void {
      // First, so that whoever is revoked can be asked for before anything is shown.
      for (const recipientId of changes.revoked)
        for (const subscriber of connected.get(recipientId)?.subscribers ?? []) subscriber.revoke();
      const now = performance.now();
      for (const [recipientId, rows] of groupByRecipient(changes.rows, connected))
        publishTo(recipientId, rows, changes, now);
    },

    readAgain(): void {
      for (const recipient of connected.values()) {
        recipient.tally = undefined;
        for (const subscriber of recipient.subscribers) subscriber.readAgain();
      }
    },
  };
}

/** The rows of those who are connected, each recipient's in the order they came. */
function groupByRecipient(rows: readonly Change[], connected: ReadonlyMap<string, unknown>) {
  const groups = new Map<string, Change[]>();
  for (const row of rows) {
    if (!connected.has(row.recipientId)) continue;
    const group = groups.get(row.recipientId);
    if (group) group.push(row);
    else groups.set(row.recipientId, [row]);
  }
  return groups;
}

import type { Change, Changes } from "../db/changes.ts";
import { createDelivery, type Delivery } from "./delivery.ts";

/** Somebody connected here, as the hub sees them. None of these may throw or wait. */
export interface Subscriber {
  deliver(delivery: Delivery): void;
  /** What there is, is not delivered: it must be read, from where the subscriber is. */
  readAgain(): void;
  revoke(): void;
}

export type Hub = ReturnType<typeof createHub>;

/** Who is connected here. Hands each page of the feed's reads to the streams of its recipients. */
export function createHub() {
  const connected = new Map<string, Set<Subscriber>>();

  return {
    /** Returns the function that unsubscribes; calling it twice is harmless. */
    subscribe(recipientId: string, subscriber: Subscriber): () => void {
      const subscribers = connected.get(recipientId) ?? new Set();
      connected.set(recipientId, subscribers.add(subscriber));
      return () => {
        subscribers.delete(subscriber);
        if (subscribers.size === 0 && connected.get(recipientId) === subscribers)
          connected.delete(recipientId);
      };
    },

    publish(changes: Changes): void {
      // First, so that whoever is revoked can be asked for before anything is shown.
      for (const recipientId of changes.revoked)
        for (const subscriber of connected.get(recipientId) ?? []) subscriber.revoke();
      for (const [recipientId, rows] of groupByRecipient(changes.rows, connected)) {
        const delivery = createDelivery({ ...changes, rows });
        for (const subscriber of connected.get(recipientId) ?? []) subscriber.deliver(delivery);
      }
    },

    readAgain(): void {
      for (const subscribers of connected.values())
        for (const subscriber of subscribers) subscriber.readAgain();
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

import { isIPv4 } from "node:net";
import type { Request } from "express";
import ipaddr from "ipaddr.js";

export type OpeningRate = ReturnType<typeof createOpeningRate>;

export interface OpeningRateOptions {
  /** Streams that one address may open in a second; Infinity: no limit at all. */
  maxNewStreamsPerSecond: number;
  /** As many as a recipient may have, it may open in a second. */
  maxStreamsPerRecipient: number;
}

/**
 * How many streams are opened in a second: from one address (of IPv6, one /64, which is one customer's), and by one
 * recipient. Both functions count, and say whether it is too many. The address is what `TRUST_PROXY` makes of it.
 */
export function createOpeningRate(options: OpeningRateOptions) {
  const { maxNewStreamsPerSecond: perAddress, maxStreamsPerRecipient: perRecipient } = options;
  const isLimited = perAddress < Number.POSITIVE_INFINITY;
  const countAddress = createCounter();
  const countRecipient = createCounter();

  return {
    isTooFastFrom: (req: Request) =>
      isLimited && req.ip !== undefined && countAddress(networkOf(req.ip)) > perAddress,
    isTooFastFor: (recipientId: string) => isLimited && countRecipient(recipientId) > perRecipient,
  };
}

/** Counts by key, each second anew; by `performance.now()`, so that no step of the clock keeps anybody out. */
function createCounter() {
  const counts = new Map<string, number>();
  let endsAt = 0;

  return (key: string): number => {
    const now = performance.now();
    if (now >= endsAt) {
      counts.clear();
      endsAt = now + 1000;
    }
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count;
  };
}

function networkOf(ip: string): string {
  if (isIPv4(ip)) return ip;
  // What a trusted proxy writes into X-Forwarded-For need not be an address.
  if (!ipaddr.isValid(ip)) return ip;
  const address = ipaddr.process(ip); // IPv4 also where it is written as IPv6
  const bytes = address.toByteArray();
  return address.kind() === "ipv6" ? bytes.slice(0, 8).join(" ") : bytes.join(".");
}

import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

export type OpeningRate = ReturnType<typeof createOpeningRate>;

export interface OpeningRateOptions {
  /** Connections that one IP address may open in a second; Infinity: no limit at all. */
  maxNewStreamsPerSecond: number;
  /** A recipient may open as many in a second as it may have. */
  maxStreamsPerRecipient: number;
}

/**
 * How many connections are opened in a second: from one IP address (for IPv6 from one /64, which is one customer's), and by one
 * recipient. Both functions count one more, and return whether that is within the limit.
 */
export function createOpeningRate(options: OpeningRateOptions) {
  const { maxNewStreamsPerSecond: perAddress, maxStreamsPerRecipient: perRecipient } = options;
  const isLimited = perAddress < Number.POSITIVE_INFINITY;
  const countAddress = createCounter();
  const countRecipient = createCounter();

  return {
    /** The address is the client's, which `TRUST_PROXY` decides; undefined where its socket has closed. */
    countFrom: (address: string | undefined): boolean =>
      !isLimited || address === undefined || countAddress(networkOf(address)) <= perAddress,
    countFor: (recipientId: string): boolean =>
      !isLimited || countRecipient(recipientId) <= perRecipient,
  };
}

/** Counts by key, each second anew. `performance.now()` and not the clock, which somebody may set back. */
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
  // A trusted proxy may write something else into X-Forwarded-For.
  if (!ipaddr.isValid(ip)) return ip;
  const address = ipaddr.process(ip); // turns ::ffff:192.0.2.1 into IPv4
  const bytes = address.toByteArray();
  return address.kind() === "ipv6" ? bytes.slice(0, 8).join(" ") : bytes.join(".");
}

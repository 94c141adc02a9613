import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

export type OpeningRate = ReturnType<typeof createOpeningRate>;

export interface OpeningRateOptions {
  /** Connections that one IP address may open per second. Infinity turns both limits off. */
  maxNewStreamsPerSecond: number;
  /** A recipient may open as many per second as it may have open. */
  maxStreamsPerRecipient: number;
}

/**
 * Counts the connections that are opened per second, by IP address and by recipient. IPv6 addresses are counted by /64, because
 * that is what one customer gets. Each function counts one more, and returns whether that is within the limit.
 */
export function createOpeningRate(options: OpeningRateOptions) {
  const { maxNewStreamsPerSecond: perAddress, maxStreamsPerRecipient: perRecipient } = options;
  const isLimited = perAddress < Number.POSITIVE_INFINITY;
  const countAddress = createCounter();
  const countRecipient = createCounter();

  return {
    /** `address` is the client's IP address, which `TRUST_PROXY` decides; undefined once its socket has closed. */
    countFrom: (address: string | undefined): boolean =>
      !isLimited || address === undefined || countAddress(networkOf(address)) <= perAddress,
    countFor: (recipientId: string): boolean =>
      !isLimited || countRecipient(recipientId) <= perRecipient,
  };
}

/** Counts by key, and starts again every second. It uses `performance.now()`, because the system clock may be set back. */
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

import type { Hop } from "../http/hop.ts";

const KEPT = 20;

export type LastRequests = ReturnType<typeof createLastRequests>;

/** How the last requests arrived. A diagnosis marks its own requests, and these are kept apart, so that no others push them out. */
export function createLastRequests() {
  const marked: Hop[] = [];
  const others: Hop[] = [];
  return {
    keep(hop: Hop): void {
      const hops = hop.doctor === null ? others : marked;
      hops.push(hop);
      if (hops.length > KEPT) hops.shift();
    },
    /** Oldest first. */
    read: (): Hop[] => [...marked, ...others].sort((a, b) => (a.time < b.time ? -1 : 1)),
  };
}

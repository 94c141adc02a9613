export interface BatchOptions<Item, Result> {
  /** Resolves to one result for each item, in their order. */
  call: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Whether a single item may have caused this error. The call is then repeated in halves, to find that item. */
  isArgumentError: (err: unknown) => boolean;
  /** Maximum concurrent calls. */
  maxConcurrent: number;
  /** Maximum items per call. */
  maxItems: number;
}

interface Pending<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (err: unknown) => void;
}

/** Burst size: after a quiet time this many calls start without delay. */
const BURST = 10;

/** After the burst one call starts per gap. The more items come, the more of them share a call. */
const GAP_MS = 60;

/** A call for a lone item, while no other runs, counts as this part of one: a client that polls alone never waits. */
const LONE = 1 / 20;

/**
 * Turns a call for many items into a function for one item. Items share a call when they come while earlier calls run, or faster
 * than calls may start. The first to come are served first. However many items come, at most 27 calls start in the first
 * second after a quiet time, and 17 in each later one, besides those for a lone item.
 *
 * If one item may have made a call fail, the call is repeated in halves, down to that item. The halves run one after the other, in
 * the place of the failed call, so `maxConcurrent` still holds. So a bad item fails alone, and costs a few calls.
 */
export function batch<Item, Result>(
  options: BatchOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const { call, isArgumentError, maxConcurrent, maxItems } = options;
  const pending: Pending<Item, Result>[] = [];
  let running = 0;
  let callsLeft = BURST;
  let refilledAt = performance.now();
  let isScheduled = false;

  function refill(): void {
    const now = performance.now();
    callsLeft = Math.min(BURST, callsLeft + (now - refilledAt) / GAP_MS);
    refilledAt = now;
  }

  function scheduleCall(): void {
    if (isScheduled || running >= maxConcurrent || pending.length === 0) return;
    isScheduled = true;
    refill();
    if (callsLeft < 1) setTimeout(startCall, (1 - callsLeft) * GAP_MS);
    else setImmediate(startCall); // with all items that come in this turn of the event loop
  }

  function startCall(): void {
    isScheduled = false;
    refill();
    const group = pending.splice(0, maxItems);
    callsLeft -= group.length === 1 && running === 0 ? LONE : 1;
    void run(group);
    scheduleCall();
  }

  async function run(group: typeof pending): Promise<void> {
    running++;
    await settle(group);
    running--;
    scheduleCall();
  }

  async function settle(group: typeof pending): Promise<void> {
    try {
      const results = await call(group.map(({ item }) => item));
      for (const [i, { resolve }] of group.entries()) resolve(results[i] as Result);
    } catch (err) {
      if (group.length === 1 || !isArgumentError(err)) {
        for (const { reject } of group) reject(err);
        return;
      }
      const half = group.length >> 1;
      await settle(group.slice(0, half));
      await settle(group.slice(half));
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      pending.push({ item, resolve, reject });
      scheduleCall();
    });
}

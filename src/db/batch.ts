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

/** A call is followed by a pause of 2 ms for each of its items: 500 items a second that come one by one never wait. */
const PAUSE_PER_ITEM_MS = 2;
const MAX_PAUSE_MS = 1000;
/** In a pause it looks this often whether items still come. */
const LOOK_MS = 100;

/**
 * Turns a call for many items into a function for one item. Items share a call when they come in one turn of the event loop, while
 * `maxConcurrent` calls run, or in the pause after a call. The first to come are served first. The pause is 2 ms for each item of that
 * call, at most a second. It ends early when a full call waits, or within 0.2 s when nothing more comes. So a client that comes alone
 * does not wait, one that comes behind many others waits for at most 0.2 s, and however many come, one call a second starts besides the full ones.
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
  let isStarting = false;
  let pauseEndsAt = 0;
  let isPausing = false;
  /** How many items waited at the last look; -1 before the first. */
  let seen = -1;

  function scheduleCall(): void {
    if (isStarting || running >= maxConcurrent || pending.length === 0) return;
    const pauseMs = pending.length < maxItems ? pauseEndsAt - performance.now() : 0;
    if (pauseMs > 0) {
      if (!isPausing) setTimeout(look, Math.min(pauseMs, LOOK_MS));
      isPausing = true;
      return;
    }
    isStarting = true;
    setImmediate(startCall); // with all items that come in this turn of the event loop
  }

  function look(): void {
    isPausing = false;
    if (pending.length === seen) pauseEndsAt = 0;
    seen = pending.length;
    scheduleCall();
  }

  function startCall(): void {
    isStarting = false;
    const group = pending.splice(0, maxItems);
    pauseEndsAt = performance.now() + Math.min(MAX_PAUSE_MS, group.length * PAUSE_PER_ITEM_MS);
    seen = -1;
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

export interface BatchOptions<Item, Result> {
  /** Gives a result for each, in their order. */
  call: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Whether a call may have been refused for one item's sake: then the others are asked for without it. */
  isArgumentError: (err: unknown) => boolean;
  /** Maximum concurrent calls. */
  maxConcurrent: number;
  /** Maximum items per call. */
  maxItems: number;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (err: unknown) => void;
}

/** So many calls may follow one another at once after a quiet time, so that whoever comes alone never waits. */
const CALLS_AT_ONCE = 10;

/** Then one begins every so often: the more come, the more share a call. */
const GAP_MS = 60;

/**
 * A function for one, made of a call for many: those who come while earlier calls run, or faster than calls may follow one
 * another, are answered together. First come, first served. However many come, the calls are few: 27 in the first
 * second, 17 in each that follows. A call that is refused for one's sake is made again in halves, down to that one, within
 * the refused call's turn: so that whoever is refused keeps nobody else out, and costs a few calls.
 */
export function batch<Item, Result>(
  options: BatchOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const { call, isArgumentError, maxConcurrent, maxItems } = options;
  const waiting: Waiting<Item, Result>[] = [];
  let running = 0;
  let callsLeft = CALLS_AT_ONCE;
  let countedAt = performance.now();
  let isGathering = false;

  function countCalls(): void {
    const now = performance.now();
    callsLeft = Math.min(CALLS_AT_ONCE, callsLeft + (now - countedAt) / GAP_MS);
    countedAt = now;
  }

  function gather(): void {
    if (isGathering || running >= maxConcurrent || waiting.length === 0) return;
    isGathering = true;
    countCalls();
    if (callsLeft < 1) setTimeout(begin, (1 - callsLeft) * GAP_MS);
    else setImmediate(begin); // with all who come in this turn
  }

  function begin(): void {
    isGathering = false;
    countCalls();
    callsLeft -= 1;
    void run(waiting.splice(0, maxItems));
    gather();
  }

  async function run(group: typeof waiting): Promise<void> {
    running++;
    await answer(group);
    running--;
    gather();
  }

  async function answer(group: typeof waiting): Promise<void> {
    try {
      const results = await call(group.map(({ item }) => item));
      for (const [i, { resolve }] of group.entries()) resolve(results[i] as Result);
    } catch (err) {
      if (group.length === 1 || !isArgumentError(err)) {
        for (const { reject } of group) reject(err);
        return;
      }
      const half = group.length >> 1;
      await answer(group.slice(0, half));
      await answer(group.slice(half));
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      gather();
    });
}

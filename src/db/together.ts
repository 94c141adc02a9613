export interface TogetherOptions<Item, Result> {
  /** Gives a result for each, in their order. Where it rejects, all of them do. */
  call: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** So many calls run at a time, */
  atOnce: number;
  /** each for no more than this many. */
  most: number;
}

/** So many calls may follow one another at once after a quiet time, so that whoever comes alone never waits. */
const CALLS_AT_ONCE = 10;

/** Then one begins every so often: the more come, the more share a call. */
const GAP_MS = 60;

/**
 * A function for one, made of a call for many: those who come while earlier calls run, or faster than calls may follow one
 * another, are answered together. First come, first served. However many come, the calls are few: 27 in the first
 * second, 17 in each that follows.
 */
export function together<Item, Result>(
  options: TogetherOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const { call, atOnce, most } = options;
  const waiting: {
    item: Item;
    resolve: (result: Result) => void;
    reject: (err: unknown) => void;
  }[] = [];
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
    if (isGathering || running >= atOnce || waiting.length === 0) return;
    isGathering = true;
    countCalls();
    if (callsLeft < 1) setTimeout(begin, (1 - callsLeft) * GAP_MS);
    else setImmediate(begin); // with all who come in this turn
  }

  function begin(): void {
    isGathering = false;
    countCalls();
    callsLeft -= 1;
    void run(waiting.splice(0, most));
    gather();
  }

  async function run(group: typeof waiting): Promise<void> {
    running++;
    try {
      const results = await call(group.map(({ item }) => item));
      for (const [i, { resolve }] of group.entries()) resolve(results[i] as Result);
    } catch (err) {
      for (const { reject } of group) reject(err);
    } finally {
      running--;
      gather();
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      gather();
    });
}

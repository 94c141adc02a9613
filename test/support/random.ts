import { randomInt } from "node:crypto";

export type Random = ReturnType<typeof createRandom>;

/** A generator that gives the same numbers for the same seed. mulberry32 is one line, and uniform enough. */
export function createRandom(seed: number) {
  let state = seed >>> 0;

  /** In [0, 1). */
  function fraction(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const int = (max: number) => Math.floor(fraction() * max);

  return {
    /** A whole number from 0 to `max`, without `max`. */
    int,
    /** A whole number from `min` to `max`, both included. */
    between: (min: number, max: number) => min + int(max - min + 1),
    chance: (probability: number) => fraction() < probability,
    pick<T>(list: readonly T[]): T {
      if (list.length === 0) throw new Error("nothing to pick from");
      return list[int(list.length)] as T;
    },
    /** Another generator, for a part that draws numbers at unpredictable moments. */
    fork: () => createRandom(int(2 ** 32)),
  };
}

const FIXED_SEED = 20_261_124;

/** The seeds of a test: a fixed and a random one, or only FAULT_SEED, which repeats a failure. */
export function seeds(): number[] {
  const given = process.env.FAULT_SEED;
  return given ? [Number(given)] : [FIXED_SEED, randomInt(2 ** 31)];
}

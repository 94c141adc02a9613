import { quantile } from "./quantile.ts";
import type { Result } from "./result.ts";

/** Fewer during work on a scenario: `BENCH_ROUNDS=1 npm run bench -- load`. */
export const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);

/** The contenders' order in a round: forwards, backwards, then beginning with the next. So none always follows the same one. */
export function inTurn<T>(contenders: readonly T[], round: number): T[] {
  const start = Math.floor(round / 2) % contenders.length;
  const turned = [...contenders.slice(start), ...contenders.slice(0, start)];
  return round % 2 === 0 ? turned : turned.toReversed();
}

type Figure = [contender: string, figure: string];

const median = (values: number[]) => quantile(values, 0.5);

function figuresOf(figures: Result["figures"], [contender, figure]: Figure): number[] {
  const found = figures[contender]?.[figure];
  if (!found) throw new Error(`There is no ${figure} of ${contender}`);
  return found;
}

/** The median of `combine` over two figures of the same round, because noise affects both alike. */
function compare(
  figures: Result["figures"],
  one: Figure,
  other: Figure,
  combine: (one: number, other: number) => number,
): number {
  const others = figuresOf(figures, other);
  return median(
    figuresOf(figures, one).map((value, round) => combine(value, others[round] ?? Number.NaN)),
  );
}

type Goal = Result["goals"][number];

type Bound = { atLeast: number } | { atMost: number };

const wordsOf = (bound: Bound) =>
  "atLeast" in bound ? `at least ${bound.atLeast}` : `at most ${bound.atMost}`;

const isWithin = (value: number, bound: Bound) =>
  "atLeast" in bound ? value >= bound.atLeast : value <= bound.atMost;

/** A goal: `one` is so many times `other`. */
export function ratioGoal(
  figures: Result["figures"],
  goal: string,
  one: Figure,
  other: Figure,
  bound: Bound,
): Goal {
  const ratio = compare(figures, one, other, (a, b) => a / b);
  return {
    goal: `${goal}: ${wordsOf(bound)}`,
    reached: `${ratio.toFixed(2)} (${one[0]} / ${other[0]}, median of the rounds' ratios)`,
    isReached: isWithin(ratio, bound),
  };
}

/** A goal: `one` is at most this much more than `other`. */
export function differenceGoal(
  figures: Result["figures"],
  goal: string,
  one: Figure,
  other: Figure,
  atMost: number,
): Goal {
  const difference = compare(figures, one, other, (a, b) => a - b);
  return {
    goal: `${goal}: at most ${atMost}`,
    reached: `${difference.toFixed(2)} (${one[0]} - ${other[0]}, median of the rounds' differences)`,
    isReached: difference <= atMost,
  };
}

export function boundGoal(
  figures: Result["figures"],
  goal: string,
  one: Figure,
  bound: Bound,
): Goal {
  const value = median(figuresOf(figures, one));
  return {
    goal: `${goal}: ${wordsOf(bound)}`,
    reached: String(Number(value.toPrecision(4))),
    isReached: isWithin(value, bound),
  };
}

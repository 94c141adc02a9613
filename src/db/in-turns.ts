/** The same function, of which at most `count` calls run; the others wait for their turn, first come, first served. */
export function inTurns<Args extends unknown[], Result>(
  count: number,
  call: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  const waiting: (() => void)[] = [];
  let running = 0;

  return async (...args) => {
    if (running < count) running++;
    else await new Promise<void>((begin) => waiting.push(begin));
    try {
      return await call(...args);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

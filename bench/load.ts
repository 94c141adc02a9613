import { boundGoal, inTurn, ROUNDS, ratioGoal } from "./compare.ts";
import { type Contender, withContenders } from "./contenders.ts";
import { deliver, lagQuantile, type RecipientEvent, tellOf } from "./deliver.ts";
import { ONE_MESSAGE, USERS } from "./pgbench.ts";
import { addRound, type Result } from "./result.ts";
import { type Shares, watchShares } from "./shares.ts";

const WRITERS = 64;

const MEASURED =
  "The time runs from the acknowledged commit (pgbench's log of each transaction) until the client has read the message's " +
  "frame. The client is another process on the same machine and clock. Every eighth message is measured. " +
  "A frame may arrive before its writer gets the acknowledgement, so the lowest times are below zero.";

/** A rate that plain Express holds, and one that it does not. */
const RATES = [2000, 4000];

/** Commit to client under a steady load that one core can carry. */
export function load(): Promise<Result> {
  const seconds = 10;
  const what = `${WRITERS} writers insert ${RATES.join(" or ")} single rows per second, each for one of ${USERS} open streams at random. ${ROUNDS} rounds of ${seconds} s.`;
  return withContenders("load", what, async (contenders, pgbench, { figures, goals, notes }) => {
    const run = async (contender: Contender, rate: number, seconds: number) => {
      const until = { seconds };
      const options = { pgbench, script: ONE_MESSAGE, clients: WRITERS, rate, until };
      return await deliver(contender, options, { sampleEvery: 8 });
    };
    const nameOf = (contender: string, rate: number) => `${contender}, ${rate}/s`;
    for (const contender of contenders) await run(contender, 4000, 3);
    for (let round = 0; round < ROUNDS; round++)
      for (const rate of RATES)
        for (const contender of inTurn(contenders, round)) {
          const found = await run(contender, rate, seconds);
          addRound(figures, nameOf(contender.name, rate), {
            "inserts/s": found.run.perSecond,
            "median ms": lagQuantile(found.lags, 0.5),
            "99th ms": lagQuantile(found.lags, 0.99),
            "writer's mean ms": found.run.latencyMs,
            lost: found.lost,
          });
          notes.push(...tellOf(nameOf(contender.name, rate), found));
        }
    for (const rate of RATES)
      goals.push(
        // Otherwise the other figures belong to another load.
        boundGoal(
          figures,
          `inserts a second, of ${rate}`,
          [nameOf("Bellwire", rate), "inserts/s"],
          {
            atLeast: 0.95 * rate,
          },
        ),
      );
    const [ours, peer] = [nameOf("Bellwire", 2000), nameOf("plain Express", 2000)];
    const busy = nameOf("Bellwire", 4000);
    goals.push(
      ratioGoal(figures, "median ms at 2000/s", [ours, "median ms"], [peer, "median ms"], {
        atMost: 2,
      }),
      boundGoal(figures, "median ms at 4000/s", [busy, "median ms"], { atMost: 15 }),
      boundGoal(figures, "99th ms at 4000/s", [busy, "99th ms"], { atMost: 60 }),
    );
    notes.push(
      MEASURED,
      "The writer's mean counts from the time when the transaction was due. If the writers do not keep up with the rate, it grows during the round.",
    );
  });
}

/** The highest rate that the writers reach. */
export function sustained(): Promise<Result> {
  const [seconds, longSeconds] = [15, 60];
  const what = `${WRITERS} writers insert single rows as fast as they can, each for one of ${USERS} open streams at random. ${ROUNDS} rounds of ${seconds} s, and one of ${longSeconds} s. Database, writers, service and clients share the machine.`;
  return withContenders(
    "sustained",
    what,
    async (contenders, pgbench, { figures, goals, notes }) => {
      const options = { pgbench, script: ONE_MESSAGE, clients: WRITERS };
      const run = async (contender: Contender, seconds: number) => {
        const until = { seconds };
        const { url, pid, streams } = contender;
        const readShares = await watchShares(url, { service: pid, clients: streams.pid });
        const found = await deliver(contender, { ...options, until }, { sampleEvery: 8 });
        notes.push(...tellOf(contender.name, found));
        return { ...found, shares: await readShares() };
      };
      const figuresOf = ({
        run,
        report,
        lost,
        seconds,
        drainMs,
        lags,
        shares,
      }: RecipientEvent & { shares: Shares }) => ({
        "inserts/s": run.perSecond,
        "delivered/s": report.frames / seconds,
        "median ms": lagQuantile(lags, 0.5),
        "99th ms": lagQuantile(lags, 0.99),
        "last commit to last frame, ms": drainMs,
        lost,
        ...Object.fromEntries(
          Object.entries(shares).map(([who, ms]) => [
            `CPU µs a row: ${who}`,
            (ms * 1000) / run.transactions,
          ]),
        ),
      });
      for (const contender of contenders) await run(contender, 3);
      for (let round = 0; round < ROUNDS; round++)
        for (const contender of inTurn(contenders, round))
          addRound(figures, contender.name, figuresOf(await run(contender, seconds)));
      for (const contender of contenders) {
        const found = await run(contender, longSeconds);
        const name = `${contender.name}, ${longSeconds} s`;
        const begin = found.lags[0]?.committedAt ?? 0;
        const medianBetween = (from: number, to: number) =>
          lagQuantile(
            found.lags.filter(({ committedAt }) => {
              const second = (committedAt - begin) / 1000;
              return second >= from && second < to;
            }),
            0.5,
          );
        addRound(figures, name, {
          ...figuresOf(found),
          "median ms, 10 to 20 s": medianBetween(10, 20),
          "median ms, last 10 s": medianBetween(longSeconds - 10, longSeconds),
        });
      }
      goals.push(
        boundGoal(figures, "rows delivered a second", ["Bellwire", "delivered/s"], {
          atLeast: 7500,
        }),
        isFlat(figures[`Bellwire, ${longSeconds} s`] ?? {}),
      );
      notes.push(MEASURED);
    },
  );
}

/** The lag of the last ten seconds is hardly more than that of the second ten: by less than half, or by less than anybody notices. */
function isFlat(row: Record<string, number[]>): Result["goals"][number] {
  const early = row["median ms, 10 to 20 s"]?.[0] ?? Number.NaN;
  const late = row["median ms, last 10 s"]?.[0] ?? Number.NaN;
  return {
    goal: "the lag does not grow over 60 s: in the last 10 s at most 1.5 times that of 10 to 20 s, or 15 ms",
    reached: `${late.toFixed(1)} ms after ${early.toFixed(1)} ms`,
    isReached: late <= Math.max(15, early * 1.5),
  };
}

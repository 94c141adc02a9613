import { boundGoal, inTurn, ROUNDS, ratioGoal } from "./compare.ts";
import { type Contender, withContenders } from "./contenders.ts";
import { deliver, tellOf } from "./deliver.ts";
import { MESSAGE_TO_EACH, USERS } from "./pgbench.ts";
import { addRound, type Result } from "./result.ts";

const DRAIN = "last commit to last frame, ms";

/** Statements that insert a thousand rows each. */
export function bulk(): Promise<Result> {
  const statements = 60;
  const what = `Each statement inserts ${USERS} rows, one for each of ${USERS} open streams. One writer sends ${statements} such statements one after the other, then four writers share them. The time runs from the start of the first statement to the last frame. ${ROUNDS} rounds.`;
  return withContenders("bulk", what, async (contenders, pgbench, { figures, goals, notes }) => {
    const run = async (contender: Contender, clients: number, transactions: number) => {
      const until = { transactions };
      const options = { pgbench, script: MESSAGE_TO_EACH, clients, until };
      return await deliver(contender, options, { rows: USERS, sampleEvery: 100 });
    };
    for (const contender of contenders) await run(contender, 1, 10);
    for (let round = 0; round < ROUNDS; round++)
      for (const clients of [1, 4])
        for (const contender of inTurn(contenders, round)) {
          const found = await run(contender, clients, statements / clients);
          const writers = clients === 1 ? "1 writer" : `${clients} writers`;
          addRound(figures, `${contender.name}, ${writers}`, {
            "delivered/s": found.report.frames / found.seconds,
            [DRAIN]: found.drainMs,
            lost: found.lost,
          });
          notes.push(...tellOf(contender.name, found));
        }
    for (const [writers, atMost] of [
      ["1 writer", 1.2],
      ["4 writers", 3],
    ] as const) {
      const [ours, peer] = [`Bellwire, ${writers}`, `plain Express, ${writers}`];
      goals.push(
        ratioGoal(figures, `${DRAIN}, ${writers}`, [ours, DRAIN], [peer, DRAIN], { atMost }),
        boundGoal(figures, `rows delivered a second, ${writers}`, [ours, "delivered/s"], {
          atLeast: 20_000,
        }),
      );
    }
  });
}

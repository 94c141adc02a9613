import { setTimeout as delay } from "node:timers/promises";
import { test } from "vitest";
import { seeds } from "../support/random.ts";
import { freezeListener, restartService, startFaults } from "./support/faults.ts";
import { startPostgres } from "./support/postgres.ts";
import { runTrial } from "./support/trial.ts";

test.each(seeds())(
  "a client may resume on any instance, while any of them restarts, seed %i",
  async (seed) => {
    const postgres = await startPostgres();
    await runTrial({
      fault: "two instances",
      seed,
      postgres,
      services: 2,
      minReconnects: 200,
      async harm([one, other], random) {
        if (!other) throw new Error("two were asked for");
        const faults = startFaults({
          faults: {
            "restart one": restartService(one),
            "restart the other": restartService(other),
            "freeze a LISTEN backend": freezeListener(postgres, [3000, 10_000]),
          },
          random,
          pauseMs: [2000, 6000],
        });
        await delay(60_000);
        await faults.close();
        postgres.thaw();
        return faults.done;
      },
    });
  },
);

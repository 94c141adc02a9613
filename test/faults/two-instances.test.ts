import { setTimeout as delay } from "node:timers/promises";
import { test } from "vitest";
import { seeds } from "../support/random.ts";
import { freezeListener, restartService, startFaults } from "./support/faults.ts";
import { runTrial } from "./support/run-trial.ts";

test.each(seeds())(
  "a client that resumes on any of two instances loses nothing while either restarts, seed %i",
  async (seed) => {
    await runTrial({
      fault: "two instances",
      seed,
      instances: 2,
      minReconnects: 200,
      async harm({ postgres, services: [one, other] }, random) {
        if (!other) throw new Error("two instances were started");
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

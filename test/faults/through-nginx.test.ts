import { setTimeout as delay } from "node:timers/promises";
import { describe, test } from "vitest";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { seeds } from "../support/random.ts";
import {
  restartPostgres,
  restartService,
  startFaults,
  terminateBackend,
} from "./support/faults.ts";
import { startPostgres } from "./support/postgres.ts";
import { runTrial } from "./support/trial.ts";

describe.skipIf(!hasNginx)("behind Debian's nginx with its defaults", () => {
  test.each(seeds())("nothing is lost, repeated or made up, seed %i", async (seed) => {
    const postgres = await startPostgres();
    await runTrial({
      fault: "through nginx",
      seed,
      postgres,
      minReconnects: 200,
      through: async ({ url }) => {
        const nginx = await startNginx({ locations: `location / { proxy_pass ${url}; }` });
        return nginx.url;
      },
      async harm([service], random) {
        const faults = startFaults({
          faults: {
            "terminate a backend": terminateBackend(postgres),
            "restart PostgreSQL": restartPostgres(postgres),
            "restart the service": restartService(service),
          },
          random,
          pauseMs: [2000, 6000],
        });
        await delay(60_000);
        await faults.close();
        return faults.done;
      },
    });
  });
});

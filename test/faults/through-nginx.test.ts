import { setTimeout as delay } from "node:timers/promises";
import { test } from "vitest";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { seeds } from "../support/random.ts";
import {
  restartPostgres,
  restartService,
  startFaults,
  terminateBackend,
} from "./support/faults.ts";
import { runTrial } from "./support/run-trial.ts";

test.skipIf(!hasNginx).each(seeds())(
  "a client behind Debian's nginx with its defaults loses nothing when sessions are killed and PostgreSQL and the service restart, seed %i",
  async (seed) => {
    await runTrial({
      fault: "through nginx",
      seed,
      minReconnects: 200,
      through: async ({ url }) => {
        const nginx = await startNginx({ locations: `location / { proxy_pass ${url}; }` });
        return nginx.url;
      },
      async harm({ postgres, service }, random) {
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
  },
);

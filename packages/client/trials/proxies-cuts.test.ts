import { afterAll, expect, test } from "vitest";
import { PROXIES } from "../../../test/faults/support/proxies.ts";
import { openTrial } from "../../../test/faults/support/trial.ts";
import { createRandom, seeds } from "../../../test/support/random.ts";
import { startCutter } from "./support/cutter.ts";
import { openNodeBell } from "./support/node-bell.ts";
import { expectHonest } from "./support/statuses.ts";
import { EXACT, startWriting } from "./support/writing.ts";

const CUTS = 1000;
/** About ten events. */
const MAX_BYTES = 5000;

const measured: Record<string, unknown>[] = [];
afterAll(() => console.table(measured));

const WAYS = {
  "a TCP proxy": async (cutter: number) => `http://127.0.0.1:${cutter}`,
  // Debian's nginx speaks HTTP/1.0 to the service. So a stream that was cut anywhere ends like a complete one.
  "nginx, before a TCP proxy": async (cutter: number) => await PROXIES.nginx?.(cutter),
};

test.each(Object.entries(WAYS))(
  "each notification is told once while 1,000 connections are cut at random bytes by %s",
  async (name, open) => {
    const [seed = 0] = seeds().slice(-1);
    const { service, databaseUrl } = await openTrial();
    const cutter = await startCutter(service.port, MAX_BYTES, createRandom(seed));
    const url = `${await open(cutter.port)}/api/notifications`;
    const recipients = ["1", "2", "3", "4"];
    const bells = [...recipients, ...recipients].map((recipient) =>
      openNodeBell({ url, getToken: () => service.token(recipient) }),
    );
    for (const { status } of bells) await expect.poll(status).toBe("live");
    const writing = await startWriting({ url: databaseUrl, recipients, pauseMs: 50 });
    await expect.poll(cutter.cuts, { timeout: 600_000 }).toBeGreaterThanOrEqual(CUTS);
    cutter.mend();
    await writing.close();
    measured.push({ way: name, seed, cuts: cutter.cuts(), rows: writing.written.length });
    for (const { status, shown } of bells) {
      await expect.poll(() => writing.verdict(shown.rang)).toEqual(EXACT);
      await expect.poll(status).toBe("live");
      expectHonest(shown);
    }
  },
);

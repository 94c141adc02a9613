import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { PROXIES } from "../../../test/faults/support/proxies.ts";
import type { ServiceProcess } from "../../../test/faults/support/service-process.ts";
import { openTrial } from "../../../test/faults/support/trial.ts";
import { openNodeBell } from "./support/node-bell.ts";
import { expectHonest } from "./support/statuses.ts";
import { EXACT, startWriting } from "./support/writing.ts";

/** For so long it tries, and then once more after the longest pause. */
const [REVOKED_MS, LONGEST_PAUSE_MS] = [60_000, 30_000];

const measured: Record<string, unknown>[] = [];
afterAll(() => console.table(measured));

type TokenOf = (service: ServiceProcess, recipient: string) => Promise<string>;

/** Bells in Node, because a browser adds nothing to tokens: recipient 1 has a stream and recipient 2 polls, behind nginx. */
async function openBells(tokenOf: TokenOf) {
  const { service, databaseUrl, query } = await openTrial();
  const url = `${(await PROXIES.nginx?.(service.port)) ?? service.url}/api/notifications`;
  const open = (transport: "sse" | "poll", reached: string, recipient: string) => {
    let asked = 0;
    const getToken = () => {
      asked++;
      return tokenOf(service, recipient);
    };
    const bell = openNodeBell({ url, transport, getToken });
    return { transport, reached, recipient, asked: () => asked, ...bell };
  };
  const bells = [open("sse", "live", "1"), open("poll", "polling", "2")] as const;
  for (const { status, reached } of bells) await expect.poll(status).toBe(reached);
  const revoke = () => query("select bellwire.revoke('1'), bellwire.revoke('2')");
  return { bells, revoke, databaseUrl };
}

const since = (from: number, statuses: readonly [string, number][]) =>
  statuses
    .filter(([, at]) => at >= from)
    .map(([status, at]) => `${status} ${((at - from) / 1000).toFixed(1)}`)
    .join(", ");

test("with tokens that expire every 10 s, for two minutes, it stays reached, each row once", async () => {
  const { bells, databaseUrl } = await openBells((service, recipient) =>
    service.token(recipient, 10),
  );
  const writing = await startWriting({ url: databaseUrl, recipients: ["1", "2"], pauseMs: 100 });
  await delay(120_000);
  await writing.close();
  for (const { transport, reached, shown, asked } of bells) {
    await expect.poll(() => writing.verdict(shown.rang)).toEqual(EXACT);
    measured.push({
      tokens: `10 s, ${transport}`,
      rows: writing.written.length,
      asked: asked(),
      "latest, s": writing.latestMs(shown.rangAt) / 1000,
    });
    expect(shown.statuses.map(([status]) => status)).toEqual(["connecting", reached]);
  }
});

test("revoked, and signed in again 20 s later: the stream comes back by itself, each row once", async () => {
  let signedInAt = 0;
  let old: string | undefined;
  const { bells, revoke, databaseUrl } = await openBells(async (service, recipient) => {
    const token = await service.token(recipient);
    old ??= token;
    return Date.now() >= signedInAt ? token : old;
  });
  const [{ status, shown }] = bells;
  const writing = await startWriting({ url: databaseUrl, recipients: ["1"], pauseMs: 200 });
  await writing.more(10);
  const revokedAt = Date.now();
  signedInAt = revokedAt + 20_000;
  await revoke();
  await expect.poll(status).toBe("offline");
  await expect.poll(status).toBe("live");
  await writing.more(10);
  await writing.close();
  await expect.poll(() => writing.verdict(shown.rang)).toEqual(EXACT);
  measured.push({ tokens: "revoked, new after 20 s", statuses: since(revokedAt, shown.statuses) });
  expectHonest(shown);
});

test("revoked for good, it is signed out: a stream after a minute, polls at once", async () => {
  const old = new Map<string, string>();
  const { bells, revoke } = await openBells(async (service, recipient) => {
    const token = old.get(recipient) ?? (await service.token(recipient));
    old.set(recipient, token);
    return token;
  });
  const revokedAt = Date.now();
  await revoke();
  for (const { status } of bells)
    await expect.poll(status, { timeout: 2 * REVOKED_MS }).toBe("signed_out");
  for (const { transport, asked, shown } of bells)
    measured.push({
      tokens: `revoked for good, ${transport}`,
      asked: asked(),
      statuses: since(revokedAt, shown.statuses),
    });
  const [{ shown }] = bells;
  const [, signedOutAt = 0] = shown.statuses.at(-1) ?? [];
  expect(signedOutAt - revokedAt).toBeGreaterThan(REVOKED_MS);
  expect(signedOutAt - revokedAt).toBeLessThan(REVOKED_MS + LONGEST_PAUSE_MS + 2000);
});

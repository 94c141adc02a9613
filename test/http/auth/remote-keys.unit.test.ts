import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, jwtVerify, SignJWT } from "jose";
import { expect, onTestFinished, test, vi } from "vitest";
import { createRemoteKeys } from "../../../src/http/auth/remote-keys.ts";

const MINUTES = 60_000;
const HOURS = 60 * MINUTES;

const make = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const old = make();
const fresh = make();

const sign = (kid: string, { privateKey }: { privateKey: KeyObject }) =>
  new SignJWT({ sub: "42" }).setProtectedHeader({ alg: "ES256", kid }).sign(privateKey);

/** A URL whose keys the test changes, and a clock that it sets. */
async function start(keys: [kid: string, key: { publicKey: KeyObject }][]) {
  vi.useFakeTimers({ toFake: ["Date", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const startedAt = performance.now();
  const hanging: ServerResponse[] = [];
  const state = { keys, status: 200, isHanging: false, requests: 0 };
  const server = createServer(async (_req, res) => {
    state.requests++;
    if (state.isHanging) return void hanging.push(res);
    const set = state.keys.map(async ([kid, { publicKey }]) => ({
      ...(await exportJWK(publicKey)),
      kid,
    }));
    res.writeHead(state.status).end(JSON.stringify({ keys: await Promise.all(set) }));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  const find = createRemoteKeys(`http://127.0.0.1:${port}/jwks.json`);
  return Object.assign(state, {
    hanging,
    /** Sets the clock to this many milliseconds after the start. */
    turnTo: (ms: number) => void vi.advanceTimersByTime(startedAt + ms - performance.now()),
    verify: async (token: Promise<string>) =>
      jwtVerify(await token, find).then(
        () => "good",
        (err) => err.code as string,
      ),
  });
}

const UNKNOWN = "ERR_JWKS_NO_MATCHING_KEY";

test("a new key is accepted at most half a minute after it is published, and a withdrawn key is refused then", async () => {
  const keys = await start([["old", old]]);
  expect(await keys.verify(sign("old", old))).toBe("good");
  keys.keys = [["new", fresh]];
  keys.turnTo(29_000);
  expect(await keys.verify(sign("new", fresh))).toBe(UNKNOWN);
  keys.turnTo(30_000);
  expect(await keys.verify(sign("new", fresh))).toBe("good");
  expect(await keys.verify(sign("old", old))).toBe(UNKNOWN);
  expect(keys.requests).toBe(2);
});

test("a flood of unknown key ids causes one fetch per half minute", async () => {
  const keys = await start([["old", old]]);
  for (const second of Array.from({ length: 60 }, (_, i) => i)) {
    keys.turnTo(second * 1000);
    const flood = Array.from({ length: 10 }, (_, i) =>
      keys.verify(sign(`made up ${second} ${i}`, fresh)),
    );
    expect(new Set(await Promise.all(flood))).toEqual(new Set([UNKNOWN]));
  }
  expect(keys.requests).toBe(2);
});

test("known keys stay valid for two days while the URL is unavailable, and no longer", async () => {
  const keys = await start([["old", old]]);
  expect(await keys.verify(sign("old", old))).toBe("good");
  keys.status = 500;
  for (let ms = 0; ms <= 48 * HOURS; ms += 10 * MINUTES) {
    keys.turnTo(ms);
    expect(await keys.verify(sign("old", old))).toBe("good");
  }
  keys.turnTo(48 * HOURS + 10 * MINUTES);
  expect(await keys.verify(sign("old", old))).toBe("keys_unavailable");
});

test("while the URL is unavailable a token with an unknown key id gets 503, not 401", async () => {
  const keys = await start([["old", old]]);
  expect(await keys.verify(sign("old", old))).toBe("good");
  keys.status = 500;
  keys.turnTo(31_000);
  for (const _ of [1, 2, 3]) expect(await keys.verify(sign("new", fresh))).toBe("keys_unavailable");
  expect(keys.requests).toBe(2);
});

test("a URL that hangs delays no token whose key is known", async () => {
  const keys = await start([["old", old]]);
  expect(await keys.verify(sign("old", old))).toBe("good");
  keys.isHanging = true;
  keys.turnTo(11 * MINUTES);
  // The keys are due to be fetched again, and a token names an unknown key. One fetch serves both.
  const waiting = keys.verify(sign("new", fresh));
  for (const _ of [1, 2, 3]) expect(await keys.verify(sign("old", old))).toBe("good");
  expect(await Promise.race([waiting, "waits"])).toBe("waits");
  await expect.poll(() => keys.hanging.length).toBe(1);
  for (const res of keys.hanging) res.destroy();
  expect(await waiting).toBe("keys_unavailable");
  expect(keys.requests).toBe(2);
});

test("a system clock that is set back an hour delays a new key for ten minutes at most", async () => {
  const keys = await start([["old", old]]);
  expect(await keys.verify(sign("old", old))).toBe("good");
  keys.keys = [["new", fresh]];
  vi.setSystemTime(Date.now() - HOURS);
  keys.turnTo(10 * MINUTES);
  expect(await keys.verify(sign("old", old))).toBe("good");
  await expect.poll(() => keys.verify(sign("new", fresh))).toBe("good");
  expect(keys.requests).toBe(2);
});

test("without any key the URL is fetched once a second, and all waiting tokens share the fetch", async () => {
  const keys = await start([["old", old]]);
  keys.status = 500;
  const ask = () => Promise.all([1, 2, 3].map(() => keys.verify(sign("old", old))));
  expect(new Set(await ask())).toEqual(new Set(["keys_unavailable"]));
  expect(keys.requests).toBe(1);
  keys.turnTo(999);
  await ask();
  expect(keys.requests).toBe(1);
  keys.status = 200;
  keys.turnTo(1000);
  expect(new Set(await ask())).toEqual(new Set(["good"]));
  expect(keys.requests).toBe(2);
});

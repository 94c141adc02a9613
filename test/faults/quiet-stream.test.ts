import { Agent, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { EventSource } from "eventsource";
import { expect, onTestFinished, test } from "vitest";
import { hasNginx, startNginx } from "../support/nginx.ts";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { streamRequest } from "./support/raw-stream.ts";
import { openTrial } from "./support/trial.ts";

/** Longer than nginx's 60 s without a byte, the service's 75 s for idle connections and Node's 300 s for a request. */
const QUIET_MS = 390_000;
const HEARTBEAT_MS = 15_000;

/** Pauses between two requests of a user. Each kind is close to a limit at which a connection may be closed. */
const PAUSES: Record<string, { lanes: number; pauseMs: (random: Random) => number }> = {
  "at any time": { lanes: 20, pauseMs: (random) => random.int(3000) },
  "after Node's own 5 s": { lanes: 60, pauseMs: (random) => random.between(4980, 5020) },
  "after nginx's 60 s": { lanes: 30, pauseMs: (random) => random.between(59_900, 60_100) },
  "after the service's 75 s": { lanes: 30, pauseMs: (random) => random.between(74_900, 75_100) },
};
const LANES = Object.values(PAUSES).flatMap(({ lanes, pauseMs }) => Array(lanes).fill(pauseMs));

test.skipIf(!hasNginx)(
  "a quiet stream and idle connections outlive every time limit of nginx, the service and Node",
  async () => {
    const [seed = 0] = seeds();
    const { service, query } = await openTrial();
    const nginx = await startNginx(configuration(service.url));
    const token = await service.token("quiet");
    const through = await openQuietStream(nginx.url, token);
    const direct = await openQuietStream(service.url, token);
    const browser = await openEventSource(nginx.url, token);
    const streams = [through, direct];

    const soak = soakLanes(nginx.url, await service.token("busy"), createRandom(seed));
    await delay(QUIET_MS);
    const answers = await soak;

    const quiet = streams.map(({ readQuiet }) => readQuiet());
    const writtenAt = performance.now();
    await query("select bellwire.notify('quiet', 'test', title => 'at last')");
    await expect
      .poll(() => streams.map(({ hasRow }) => hasRow()), { timeout: 5000, interval: 5 })
      .toEqual([true, true]);
    const rowMs = performance.now() - writtenAt;
    await expect.poll(() => browser.titles).toEqual(["at last"]);

    const statuses = countBy(answers.map(({ status }) => status));
    console.log(
      `quiet stream                      ${QUIET_MS / 1000} s, the longest silence ` +
        `${quiet.map(({ longestSilenceMs }) => `${(longestSilenceMs / 1000).toFixed(1)} s`).join(" and ")}, ` +
        `pings ${quiet.map(({ pings }) => pings).join(" and ")}, then a row within ${rowMs.toFixed(0)} ms\n` +
        `  ${answers.length} requests through nginx (seed ${seed}), ` +
        `${JSON.stringify(Object.fromEntries(statuses))}, ` +
        `${answers.filter(({ isReused }) => isReused).length} over a connection that had waited`,
    );

    const expectPings = (pings: number) => {
      expect(pings).toBeGreaterThanOrEqual(Math.floor(QUIET_MS / (HEARTBEAT_MS * 1.2)) - 1);
      expect(pings).toBeLessThanOrEqual(Math.ceil(QUIET_MS / (HEARTBEAT_MS * 0.8)));
    };
    for (const { strangeLines, pings, longestSilenceMs } of quiet) {
      expect(strangeLines).toEqual([]);
      expectPings(pings);
      expect(longestSilenceMs).toBeLessThan(HEARTBEAT_MS * 1.2 + 3000);
    }
    expect(rowMs).toBeLessThan(1000);
    // A browser's script sees only pings, which do not change its position.
    expect(browser.messages).toEqual([]);
    expect(browser.errors).toEqual([]);
    expectPings(browser.pings.length);
    expect(new Set(browser.pings).size).toBe(1);
    expect(answers.length).toBeGreaterThan(5000);
    expect([...statuses.keys()]).toEqual([200]);
    expect(service.exits).toEqual([]);
  },
);

/** A plain location for streams, and for each lane an upstream that keeps a connection. */
function configuration(serviceUrl: string) {
  const address = new URL(serviceUrl).host;
  const upstreams = LANES.map((_, i) => `upstream lane${i} { server ${address}; keepalive 1; }`);
  const locations = LANES.map(
    (_, i) => `location /lane${i}/ {
      proxy_pass http://lane${i}/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }`,
  );
  return {
    http: upstreams.join("\n"),
    // nginx must not close the client's connection.
    locations: `keepalive_timeout 600s;
      location / { proxy_pass ${serviceUrl}; }
      ${locations.join("\n")}`,
  };
}

/** A stream that records every byte and every silence. */
async function openQuietStream(url: string, token: string) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  let text = "";
  let lastByteAt = performance.now();
  let longestSilenceMs = 0;
  socket.on("error", () => {}); // the text shows what arrived
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    const now = performance.now();
    longestSilenceMs = Math.max(longestSilenceMs, now - lastByteAt);
    lastByteAt = now;
  });
  socket.on("close", () => {
    text += "\nclosed";
  });
  socket.write(streamRequest({ token }));
  await expect.poll(() => text).toMatch(/^id: .*$/m);
  const start = text.length;

  return {
    /** What arrived after `ready`. Chunk sizes are part of HTTP. */
    readQuiet() {
      const lines = text.slice(start).split(/\r?\n/);
      const count = (line: string) => lines.filter((other) => other === line).length;
      const strangeLines = lines.filter(
        (line) => !/^([0-9a-f]*|event: ping|data: \{"time":"[^"]*"\})$/.test(line),
      );
      longestSilenceMs = Math.max(longestSilenceMs, performance.now() - lastByteAt);
      return {
        strangeLines,
        longestSilenceMs,
        pings: count("event: ping"),
      };
    },
    hasRow: () => text.includes('"title":"at last"'),
  };
}

/** What the script of a page sees of such a stream. */
async function openEventSource(url: string, token: string) {
  const source = new EventSource(`${url}/api/notifications/stream`, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }),
  });
  onTestFinished(() => source.close());
  const messages: unknown[] = [];
  const errors: unknown[] = [];
  /** The last event id at each ping. */
  const pings: string[] = [];
  const titles: string[] = [];
  source.onmessage = ({ data }) => messages.push(data);
  source.onerror = ({ message }) => errors.push(message);
  source.addEventListener("ping", ({ lastEventId }) => pings.push(lastEventId));
  source.addEventListener("notification", ({ data }) => titles.push(JSON.parse(data).title));
  await expect.poll(() => source.readyState).toBe(EventSource.OPEN);
  return { messages, errors, pings, titles };
}

interface Answer {
  status: number | undefined;
  /** Sent over a kept connection to nginx, so nginx had one to the service that was idle as long. */
  isReused: boolean;
}

/** Each lane is a user with one connection to nginx, who reads and writes in turn. */
async function soakLanes(url: string, token: string, random: Random): Promise<Answer[]> {
  const end = performance.now() + QUIET_MS;
  const answers: Answer[] = [];

  async function run(lane: number, pauseMs: (random: Random) => number, random: Random) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await delay(random.int(5000)); // users do not all begin at once
    for (let i = 0; performance.now() < end; i++) {
      answers.push(await ask(`${url}/lane${lane}`, { agent, token, isWrite: i % 2 === 1 }));
      await delay(Math.min(pauseMs(random), Math.max(0, end - performance.now())));
    }
    agent.destroy();
  }

  await Promise.all(LANES.map((pauseMs, i) => run(i, pauseMs, random.fork())));
  return answers;
}

function ask(
  url: string,
  { agent, token, isWrite }: { agent: Agent; token: string; isWrite: boolean },
): Promise<Answer> {
  const path = isWrite ? "mark-all-read" : "unread-count";
  return new Promise((resolve, reject) => {
    const asking = request(
      `${url}/api/notifications/${path}`,
      {
        agent,
        method: isWrite ? "POST" : "GET",
        headers: {
          Authorization: `Bearer ${token}`,
          ...(isWrite ? { "Content-Type": "application/json", "Content-Length": 2 } : {}),
        },
      },
      (response) => {
        const { statusCode } = response;
        response.resume().on("end", () => {
          resolve({ status: statusCode, isReused: asking.reusedSocket });
        });
      },
    );
    asking.on("error", reject);
    asking.end(isWrite ? "{}" : undefined);
  });
}

function countBy<T>(values: readonly T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

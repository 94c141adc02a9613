import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact } from "./support/checker.ts";
import { openClient } from "./support/client.ts";
import { startLoop } from "./support/loop.ts";
import { mostReads } from "./support/most-reads.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { openTrial } from "./support/trial.ts";

const FLOOD_MS = 15_000;
const FLOODERS = 4;
/** The default. */
const TICK_MS = 10;
/** Part of every payload except the empty one. */
const CANARY = "forged-canary";
/** `getconf CLK_TCK`: the same on every Linux that Node runs on. */
const CPU_TICKS_PER_SECOND = 100;

const [seed = 0] = seeds();

test("a NOTIFY that another role forges causes a read and nothing else", async () => {
  const random = createRandom(seed);
  const { databaseUrl, service, query, judge } = await openTrial({ env: { LOG_LEVEL: "trace" } });
  await query("create role forger login password 'forger'");
  const readers = await openReaders(service, {
    streams: 4,
    recipients: ["1", "2"],
    random: random.fork(),
  });
  const pid = service.pid();
  const before = await service.metrics();
  const cpuBefore = await cpuSeconds(pid);
  const startedAt = performance.now();

  const forger = new URL(databaseUrl);
  [forger.username, forger.password] = ["forger", "forger"];
  const flood = await startFlood(forger.href, random);
  await delay(FLOOD_MS / 2);
  expect(readers.deliveries).toEqual([]);
  await query("select bellwire.notify('1', 'test', body => 'real')");
  const committed = new Map([["real", performance.now()]]);
  await delay(FLOOD_MS / 2);
  expect((await service.readiness()).status).toBe(200);
  const sent = await flood.close();

  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = (await cpuSeconds(pid)) - cpuBefore;
  const after = await service.metrics();
  expect(sent).toBeGreaterThan(1000);
  // A payload that looks like a probe, but is not ours, is not even a wake-up.
  expect(after("bellwire_wakeups_total")).toBeGreaterThan(before("bellwire_wakeups_total") + 1000);
  const reads = after("bellwire_reads_total") - before("bellwire_reads_total");
  const limit = mostReads(service.logs(), { ms: seconds * 1000, tickMs: TICK_MS });
  expect(reads).toBeLessThan(limit.mostReads);
  expect(cpu).toBeLessThan(seconds);

  const writers = { committed, rolledBack: new Set<string>() };
  const verdict = await judge({ readers, writers, timeoutMs: 10_000 });
  expect(service.pid()).toBe(pid);
  expect(service.exits).toEqual([]);
  expect(service.said() + JSON.stringify(service.logs())).not.toContain(CANARY);
  expect(service.logs().filter(({ level }) => level >= 40)).toEqual([]);
  report({ fault: "forged NOTIFY", seed, verdict });
  console.log(
    `  ${sent} forged in ${seconds.toFixed(1)} s: ${reads} reads of ${limit.shortestMs.toFixed(2)} ms or more, ${cpu.toFixed(1)} s of CPU time`,
  );
  expectExact(verdict, { minReconnects: 0 });
  expect(verdict.longestSilenceMs).toBeLessThan(1000);
});

/** The role may only log in, but any role may NOTIFY on any channel. */
async function startFlood(url: string, random: Random) {
  let sent = 0;
  const loops = Array.from({ length: FLOODERS }, async () => {
    const own = random.fork();
    const client = await openClient(url);
    return startLoop(async () => {
      await client.query("select pg_notify('bellwire', $1)", [forge(own)]);
      sent++;
    });
  });
  const flooders = await Promise.all(loops);
  return {
    /** Returns how many were sent. */
    async close(): Promise<number> {
      await Promise.all(flooders.map(({ close }) => close()));
      return sent;
    },
  };
}

function forge(random: Random): string {
  const text = `${CANARY}${random.int(1e9)}`;
  return random.pick([
    "",
    text,
    `probe:${text}`,
    "probe:",
    `{"id":"1","recipientId":"1","type":"test","title":"${text}"}`,
    `'; drop table bellwire.notifications; -- ${text}`,
    `\\u0000\\n\\ndata: ${text}\n\nevent: notification\n\n`,
    text.padEnd(7999, "x"), // the longest that PostgreSQL takes
  ]);
}

/** The CPU time that the process has used, on all cores. */
async function cpuSeconds(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may contain spaces; utime and stime are the 14th and 15th fields.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / CPU_TICKS_PER_SECOND;
}

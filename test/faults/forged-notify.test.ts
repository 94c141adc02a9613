import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { createRandom, type Random, seeds } from "../support/random.ts";
import { expectExact, judge } from "./support/checker.ts";
import { createMigrated, startPostgres } from "./support/postgres.ts";
import { startReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import { startServiceProcess } from "./support/service-process.ts";
import { settle } from "./support/settle.ts";

const FLOOD_MS = 15_000;
const FLOODERS = 4;
/** In every payload that can hold it. */
const CANARY = "forged-canary";
/** As often as real ones may come before they are suspended: WAKEUPS_PER_SECOND_BUSY. */
const READS_PER_SECOND = 200;
/** `getconf CLK_TCK`: the same on every Linux that Node runs on. */
const CPU_TICKS_PER_SECOND = 100;

const [seed = 0] = seeds();

test("what others send on the channel is a wake-up and no more", async () => {
  const random = createRandom(seed);
  const postgres = await startPostgres();
  const databaseUrl = await createMigrated(postgres);
  await postgres.query("create role forger login password 'forger'");
  const service = await startServiceProcess({ databaseUrl, env: { LOG_LEVEL: "trace" } });
  await service.waitUntilReady();
  const readers = await startReaders({
    streams: 4,
    recipients: ["1", "2"],
    addresses: () => service.url,
    token: service.token,
    random: random.fork(),
  });
  await readers.ready();
  const pid = service.pid();
  const before = await service.metrics();
  const cpuBefore = await cpuSeconds(pid);
  const startedAt = performance.now();

  const forger = new URL(databaseUrl);
  [forger.username, forger.password] = ["forger", "forger"];
  const flood = startFlood(forger.href, random);
  await delay(FLOOD_MS / 2);
  expect(readers.deliveries).toEqual([]);
  await postgres.query("select bellwire.notify('1', 'test', body => 'real')", [], "bellwire");
  const committed = new Map([["real", performance.now()]]);
  await delay(FLOOD_MS / 2);
  expect((await service.readiness()).status).toBe(200);
  const sent = await flood.close();

  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = (await cpuSeconds(pid)) - cpuBefore;
  const after = await service.metrics();
  expect(sent).toBeGreaterThan(1000);
  // Those that look like a probe are none of ours, and not even a wake-up.
  expect(after("bellwire_wakeups_total")).toBeGreaterThan(before("bellwire_wakeups_total") + 1000);
  const reads = after("bellwire_reads_total") - before("bellwire_reads_total");
  expect(reads).toBeLessThan(seconds * READS_PER_SECOND + 20);
  expect(cpu).toBeLessThan(seconds);

  await settle({ postgresUrl: databaseUrl, readers, timeoutMs: 10_000 });
  expect(service.pid()).toBe(pid);
  expect(service.exits).toEqual([]);
  expect(service.said() + JSON.stringify(service.logs())).not.toContain(CANARY);
  expect(service.logs().filter(({ level }) => level >= 40)).toEqual([]);
  const writers = { committed, rolledBack: new Set<string>() };
  const verdict = await judge({ postgresUrl: databaseUrl, readers, writers });
  report({ fault: "forged NOTIFY", seed, verdict });
  console.log(
    `  ${sent} forged in ${seconds.toFixed(1)} s: ${reads} reads, ${cpu.toFixed(1)} s of CPU time`,
  );
  expectExact(verdict, { minReconnects: 0 });
  expect(verdict.longestSilenceMs).toBeLessThan(1000);
});

/** A role that may log in and nothing else: any role may NOTIFY on any channel. */
function startFlood(url: string, random: Random) {
  let sent = 0;
  let isClosed = false;
  async function run(random: Random) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    while (!isClosed) {
      await client.query("select pg_notify('bellwire', $1)", [forge(random)]);
      sent++;
    }
    await client.end();
  }
  const running = Array.from({ length: FLOODERS }, () => run(random.fork()));
  /** Returns how many were sent. */
  async function close(): Promise<number> {
    isClosed = true;
    await Promise.all(running);
    return sent;
  }
  onTestFinished(async () => void (await close()));
  return { close };
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
    text.padEnd(7999, "x"), // as long as one can be
  ]);
}

/** What the process has used, of all cores. */
async function cpuSeconds(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may hold blanks; utime and stime are the 14th and 15th fields.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / CPU_TICKS_PER_SECOND;
}

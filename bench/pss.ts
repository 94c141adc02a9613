import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { quantile } from "./quantile.ts";

/** So little it may change, for so long, to have settled. */
const [TOLERANCE, SETTLED_MS, PAUSE_MS, LIMIT_MS] = [0.05, 10_000, 500, 180_000];

/**
 * The proportional set size of a process and of all below it, in KB, when it has settled: `leastMs` from now at the earliest,
 * the median of ten seconds in which it stayed within 5 %. A process that collects its garbage does so when it has been
 * quiet for a while: before, it shows what it did, and not what it holds. Without the pages of files (the program's text):
 * these are shared with whatever else runs the program, our own clients among them. What the kernel keeps for sockets is not
 * in it either.
 */
export async function settledPss(pid: number, leastMs: number): Promise<number> {
  const start = performance.now();
  let seen: { at: number; kb: number }[] = [];
  for (;;) {
    const now = performance.now();
    if (now - start > LIMIT_MS)
      throw new Error(`the memory of process ${pid} has not settled in ${LIMIT_MS / 1000} s`);
    seen = seen.filter(({ at }) => now - at <= SETTLED_MS);
    seen.push({ at: now, kb: await pssOf(await withDescendants(pid)) });
    const sizes = seen.map(({ kb }) => kb);
    const isFlat = Math.max(...sizes) <= Math.min(...sizes) * (1 + TOLERANCE);
    if (isFlat && now - start >= leastMs + SETTLED_MS) return quantile(sizes, 0.5);
    await delay(PAUSE_MS);
  }
}

async function pssOf(pids: number[]): Promise<number> {
  const sizes = pids.map(async (pid) => {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    const read = (field: string) =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]);
    return read("Pss_Anon") + read("Pss_Shmem");
  });
  return (await Promise.all(sizes)).reduce((sum, kb) => sum + kb, 0);
}

async function withDescendants(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8"));
  const children = (await Promise.all(lists)).join(" ").split(" ").filter(Boolean).map(Number);
  return [pid, ...(await Promise.all(children.map(withDescendants))).flat()];
}

import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** So little it may change, for so long, to have settled. */
const [TOLERANCE, SETTLED_MS, PAUSE_MS, LIMIT_MS] = [0.01, 3000, 250, 60_000];

/**
 * The proportional set size of a process and of all below it, in KB, as soon as it has settled: within 1 % over 3 s.
 * What the kernel keeps for their sockets is not in it.
 */
export async function settledPss(pid: number): Promise<number> {
  const start = performance.now();
  let seen: { at: number; kb: number }[] = [];
  while (performance.now() - start < LIMIT_MS) {
    const now = performance.now();
    const kb = await pssOf(await withDescendants(pid));
    const isLong = seen.some(({ at }) => now - at >= SETTLED_MS);
    seen = [...seen.filter(({ at }) => now - at < SETTLED_MS), { at: now, kb }];
    const sizes = seen.map(({ kb }) => kb);
    if (isLong && Math.max(...sizes) <= Math.min(...sizes) * (1 + TOLERANCE)) return kb;
    await delay(PAUSE_MS);
  }
  throw new Error(`the memory of process ${pid} has not settled in ${LIMIT_MS / 1000} s`);
}

async function pssOf(pids: number[]): Promise<number> {
  const sizes = pids.map(async (pid) => {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]);
  });
  return (await Promise.all(sizes)).reduce((sum, kb) => sum + kb, 0);
}

async function withDescendants(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8"));
  const children = (await Promise.all(lists)).join(" ").split(" ").filter(Boolean).map(Number);
  return [pid, ...(await Promise.all(children.map(withDescendants))).flat()];
}

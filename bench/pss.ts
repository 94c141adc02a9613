import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { quantile } from "./quantile.ts";

/** The memory has settled when it changed by no more than this for so long. */
const [TOLERANCE, SETTLED_MS, PAUSE_MS, LIMIT_MS] = [0.05, 10_000, 500, 180_000];

/**
 * The proportional set size of a process and its descendants in KB, once it has settled: the median of ten seconds in which it stayed
 * within 5 %, at least `leastMs` from now. A process collects its garbage only after a quiet while; before that the
 * size shows what it did, and not what it holds. Pages of files (the program's text) are left out, because they are shared with all
 * other processes of the program, such as our clients. The kernel's memory for sockets is not included either.
 */
export async function settledPss(pid: number, leastMs: number): Promise<number> {
  const start = performance.now();
  let seen: { at: number; kb: number }[] = [];
  for (;;) {
    const now = performance.now();
    if (now - start > LIMIT_MS)
      throw new Error(`the memory of process ${pid} has not settled in ${LIMIT_MS / 1000} s`);
    seen = seen.filter(({ at }) => now - at <= SETTLED_MS);
    seen.push({ at: now, kb: await currentPss(pid) });
    const sizes = seen.map(({ kb }) => kb);
    const isFlat = Math.max(...sizes) <= Math.min(...sizes) * (1 + TOLERANCE);
    if (isFlat && now - start >= leastMs + SETTLED_MS) return quantile(sizes, 0.5);
    await delay(PAUSE_MS);
  }
}

/** The same at this moment. */
export const currentPss = async (pid: number) => await pssOf(await withDescendants(pid));

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

import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { quantile } from "./quantile.ts";

/** Long enough for several collections of what an idle process makes. */
const [MEASURED_MS, PAUSE_MS] = [60_000, 500];

/**
 * The proportional set size of a process and its descendants in KB: the median of a minute that begins `afterMs` from now. A
 * process collects what a busy time has left only after a quiet while. Pages of files (the program's text) are left out, because they are shared with all
 * other processes of the program, such as our clients. The kernel's memory for sockets is not included either.
 */
export async function idlePss(pid: number, afterMs: number): Promise<number> {
  await delay(afterMs);
  const sizes: number[] = [];
  for (const start = performance.now(); performance.now() - start < MEASURED_MS; ) {
    sizes.push(await currentPss(pid));
    await delay(PAUSE_MS);
  }
  return quantile(sizes, 0.5);
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

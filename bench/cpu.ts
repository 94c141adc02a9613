import { readdir, readFile } from "node:fs/promises";

/**
 * How long a process has been on a core, in milliseconds. The scheduler counts in nanoseconds, by thread; those that
 * have ended are not in it, and a Node process ends none. https://docs.kernel.org/scheduler/sched-stats.html
 */
export async function cpuMs(pid: number): Promise<number> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const times = tasks.map(async (task) => {
    const text = await readFile(`/proc/${pid}/task/${task}/schedstat`, "utf8");
    return Number(text.split(" ")[0]) / 1e6;
  });
  return (await Promise.all(times)).reduce((sum, ms) => sum + ms, 0);
}

import { readdir, readFile } from "node:fs/promises";

/**
 * The CPU time of a process, in milliseconds. The scheduler counts nanoseconds for each thread. Threads that have ended are not
 * counted, but a Node process ends none. https://docs.kernel.org/scheduler/sched-stats.html
 */
export async function cpuMs(pid: number): Promise<number> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const times = tasks.map(async (task) => {
    const text = await readFile(`/proc/${pid}/task/${task}/schedstat`, "utf8");
    return Number(text.split(" ")[0]) / 1e6;
  });
  return (await Promise.all(times)).reduce((sum, ms) => sum + ms, 0);
}

/** The CPU time of all cores together, in the kernel's ticks of 10 ms. https://docs.kernel.org/filesystems/proc.html */
export async function busyMs(): Promise<number> {
  const [all = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = all
    .split(/ +/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) * 10;
}

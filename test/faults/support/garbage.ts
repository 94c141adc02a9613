import { expect } from "vitest";
import type { ServiceProcess } from "./service-process.ts";

const COLLECT = "process.on('SIGUSR2',()=>{gc();console.error('collected')})";

/** For a service of which `collectGarbage` is to be asked. */
export const COLLECTABLE = {
  NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(COLLECT)}`,
};

/** What is in the service's memory afterwards is held by somebody, and not just what Node has not tidied up yet. */
export async function collectGarbage(service: ServiceProcess): Promise<void> {
  const said = service.said().length;
  process.kill(service.pid() as number, "SIGUSR2");
  await expect.poll(() => service.said().length, { timeout: 30_000 }).toBeGreaterThan(said);
}

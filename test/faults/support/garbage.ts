import { expect } from "vitest";
import type { ServiceProcess } from "./service-process.ts";

const COLLECT = "process.on('SIGUSR2',()=>{gc();console.error('collected')})";

/** Environment of a service for `collectGarbage`. */
export const COLLECTABLE = {
  NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${encodeURIComponent(COLLECT)}`,
};

/** Collects the service's garbage, so that its memory afterwards is really in use. */
export async function collectGarbage(service: ServiceProcess): Promise<void> {
  const said = service.said().length;
  process.kill(service.pid() as number, "SIGUSR2");
  await expect.poll(() => service.said().length, { timeout: 30_000 }).toBeGreaterThan(said);
}

import { spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import type { Finding } from "../../../src/doctor/finding.ts";
import { SECRET } from "../../doctor/way/support/examine.ts";
import { CLI } from "../../support/cli.ts";
import type { Service } from "../../support/service.ts";

/** The command as a process of its own, because Node reads at its start whose certificates it trusts. */
export async function runDoctor(
  service: Pick<Service, "metricsUrl">,
  url: string,
  { args = [], env = {} }: { args?: string[]; env?: Record<string, string> } = {},
): Promise<Finding[]> {
  const { port } = new URL(service.metricsUrl);
  const child = spawn(process.execPath, [CLI, "doctor", url, "--json", ...args], {
    env: { METRICS_PORT: port, JWT_SECRET: SECRET, ...env },
    cwd: tmpdir(),
  });
  let said = "";
  child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  await once(child, "close");
  return JSON.parse(said).findings;
}

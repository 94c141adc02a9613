import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Installs a program from npm into a temporary folder. Undefined if the registry cannot be reached. */
export async function installProgram(name: string, version: string) {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-npm-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts"];
  try {
    await run("npm", [...args, `${name}@${version}`]);
  } catch (err) {
    await remove();
    if (!/E(NOTFOUND|AI_AGAIN|CONNREFUSED|TIMEDOUT)/.test(String(err))) throw err;
    console.warn(`npm's registry cannot be reached, so ${name} is not tried.`);
    return undefined;
  }
  return { folder, program: join(folder, "node_modules/.bin", name), remove };
}

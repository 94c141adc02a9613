import { spawnScript } from "../clients/script.ts";
import { endWithUs } from "../service.ts";

export type ScriptServer = Awaited<ReturnType<typeof startScriptServer>>;

/** Starts one of our servers, which sends its address when it listens. */
export async function startScriptServer(file: URL, args: string[] = []) {
  const child = spawnScript(file, args);
  const exited = endWithUs(child);
  const address = await new Promise<string>((resolve, reject) => {
    child.once("message", (message) => resolve(String(message)));
    child.once("exit", () => reject(new Error(`${file.pathname} did not start`)));
  });
  async function end(signal: NodeJS.Signals) {
    child.kill(signal);
    await exited;
  }
  return {
    address,
    pid: child.pid ?? 0,
    /** Kills it, as a crash would. */
    kill: () => end("SIGKILL"),
    close: () => end("SIGTERM"),
  };
}

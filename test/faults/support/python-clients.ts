import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";
import type { OpenStream, SeenEvent } from "./seen-stream.ts";

const SCRIPT = fileURLToPath(new URL("sse_clients.py", import.meta.url));
const PACKAGES = [
  "aiohttp==3.13.2",
  "aiohttp-sse-client2==0.3.0",
  "httpx==0.28.1",
  "httpx-sse==0.4.3",
  "launchdarkly-eventsource==1.5.0",
  "requests==2.32.5",
  "sseclient-py==1.8.0",
  "urllib3==2.8.0",
];
const CLIENTS = [
  "requests",
  "sseclient-py on requests",
  "sseclient-py on urllib3",
  "launchdarkly-eventsource",
  "httpx-sse",
  "aiohttp-sse-client2",
];

const run = promisify(execFile);

/** Python's clients, each with a function that opens a stream. If they cannot be installed, it warns and returns none. */
export async function startPythonClients(): Promise<Record<string, OpenStream>> {
  const folder = await mkdtemp(join(tmpdir(), "bellwire-python-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  try {
    await run("python3", ["-m", "venv", folder]);
    await run(join(folder, "bin/pip"), ["-q", "install", ...PACKAGES], { timeout: 180_000 });
  } catch (err) {
    console.warn(`Skipped: Python's clients, because python3 or PyPI is not available (${err}).`);
    return {};
  }
  const child = spawn(join(folder, "bin/python"), [SCRIPT], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  onTestFinished(async () => {
    child.kill();
    await ended;
  });
  const onLines = new Map<number, (line: SeenEvent & { opened_at?: number }) => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const said = JSON.parse(line);
    onLines.get(said.n)?.(said);
  });

  let opened = 0;
  const openWith =
    (client: string): OpenStream =>
    async (url, token, lastEventId, onEvent) => {
      const n = ++opened;
      const asked = { n, client, url, token };
      const line = lastEventId === undefined ? asked : { ...asked, last_event_id: lastEventId };
      return await new Promise((resolve) => {
        onLines.set(n, (said) => {
          if (said.opened_at === undefined) onEvent(said);
          // Its stream stays open until the process ends, because these clients cannot be closed from outside.
          else resolve({ openedAt: said.opened_at, close: () => void onLines.delete(n) });
        });
        child.stdin.write(`${JSON.stringify(line)}\n`);
      });
    };
  return Object.fromEntries(CLIENTS.map((client) => [client, openWith(client)]));
}

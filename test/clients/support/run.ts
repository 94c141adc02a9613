import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { onTestFinished } from "vitest";
import { LAUNCH } from "../../browser/support/chromium.ts";
import { source } from "./build.ts";
import type { Client } from "./clients.ts";

export type RunningClient = Awaited<ReturnType<typeof runClient>>;

/** Starts a client on a service, and collects what it prints. Ended when the test ends. */
export async function runClient(client: Client, { url, token }: { url: string; token: string }) {
  const lines: string[] = [];
  let said = "";
  const listen = {
    line: (line: string) => lines.push(line),
    say: (text: string) => (said += text),
  };
  if (client.command) runProgram(client.command, { url, token }, listen);
  else await runPage(client.file, { url, token }, listen);
  return { client, lines, said: () => said };
}

interface Listen {
  line(line: string): unknown;
  say(text: string): unknown;
}

type Target = { url: string; token: string };

function runProgram([program = "", ...args]: string[], { url, token }: Target, listen: Listen) {
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      STREAM_URL: `${url}/api/notifications/stream`,
      TOKEN: token,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "exit");
  ended.then(([code]) => listen.say(`\n[ended: ${code}]`));
  createInterface({ input: child.stdout }).on("line", listen.line);
  child.stderr.on("data", listen.say);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
}

async function runPage(file: string, { url, token }: Target, listen: Listen) {
  const browser = await chromium.launch(LAUNCH);
  onTestFinished(() => browser.close());
  const context = await browser.newContext();
  await context.addCookies([{ name: "session", value: token, url }]);
  const page = await context.newPage();
  page.on("console", (message) =>
    message.type() === "log" ? listen.line(message.text()) : listen.say(message.text()),
  );
  await page.goto(`${url}/livez`); // any page of the same host
  await page.addScriptTag({ path: source(file) });
}

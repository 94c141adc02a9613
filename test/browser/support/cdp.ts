import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { LAUNCH } from "./chromium.ts";

// biome-ignore lint/suspicious/noExplicitAny: a test looks into an answer as it likes
type Answer = any;
type Send = (method: string, params?: object) => Promise<Answer>;

const ANSWER_MS = 1000;

/**
 * An ordinary Chromium, which is controlled over a pipe and closed when the test ends. Playwright would turn off the back/forward
 * cache, and would not let pages freeze. https://chromedevtools.github.io/devtools-protocol/
 */
export async function openChromium() {
  const profile = await mkdtemp(join(tmpdir(), "bellwire-chromium-"));
  const child = spawn(
    LAUNCH.executablePath,
    [...LAUNCH.args, `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
  );
  const exited = once(child, "exit");
  const [, , , input, output] = child.stdio as [null, null, null, Writable, Readable];
  const browser = createConnection(input, output);
  onTestFinished(async () => {
    await browser("Browser.close");
    await exited;
    await rm(profile, { recursive: true });
  });

  return {
    /** Opens a tab in front of the others, which are hidden then. */
    async openTab() {
      const { targetId } = await browser("Target.createTarget", { url: "about:blank" });
      const { sessionId } = await browser("Target.attachToTarget", { targetId, flatten: true });
      const send: Send = (method, params) => browser(method, params, sessionId);
      await send("Page.enable");

      return {
        send,
        close: () => browser("Target.closeTarget", { targetId }),
        /** The value of an expression. Undefined if the page was left or a navigation hangs, because then no answer comes. */
        evaluate: (expression: string): Promise<Answer> =>
          Promise.race([
            send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true }).then(
              ({ result }) => result.value,
              () => undefined,
            ),
            delay(ANSWER_MS, undefined, { ref: false }),
          ]),
      };
    },
  };
}

export type Tab = Awaited<ReturnType<Awaited<ReturnType<typeof openChromium>>["openTab"]>>;

/** Calls methods and returns their answers. It ignores events. */
function createConnection(input: Writable, output: Readable) {
  const waiting = new Map<number, { resolve(answer: Answer): void; reject(err: Error): void }>();
  let lastId = 0;
  let rest = "";
  output.setEncoding("utf8").on("data", (text: string) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop() ?? "";
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const call = waiting.get(id);
      waiting.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result);
    }
  });

  return (method: string, params: object = {}, sessionId?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      waiting.set(++lastId, { resolve, reject });
      input.write(`${JSON.stringify({ id: lastId, method, params, sessionId })}\0`);
    });
}

import { setTimeout as delay } from "node:timers/promises";
import { endWithUs } from "../service.ts";
import { spawnScript } from "./script.ts";

export type Command =
  | { kind: "open"; port: number; requests: string[]; ready: string }
  | { kind: "start"; sampleEvery: number }
  | { kind: "count" }
  | { kind: "report" };

/** What all streams together have received since the start. Times in milliseconds since 1970. */
export interface Report {
  frames: number;
  /** Events `reset`: the client missed too much, and must fetch its list. */
  resets: number;
  /** Streams that the server has ended. */
  ended: number;
  firstAt: number;
  lastAt: number;
  /** Which message (see `pgbench.ts`), and when it came. */
  samples: [key: string, at: number][];
}

export type Streams = Awaited<ReturnType<typeof openStreams>>;

/** If nothing has come for this long, nothing will. A sweep of the service is 2 s. */
const SILENCE_MS = 5000;

/**
 * Opens an event stream for each path and set of headers, in another process. Resolves when all are ready: they have received this
 * text, and the end of an event.
 */
export async function openStreams(
  address: string,
  wanted: { path: string; headers?: Record<string, string> }[],
  ready = "event: ready",
) {
  const child = spawnScript(new URL("./stream-reader.ts", import.meta.url));
  const exited = endWithUs(child);
  const { port, host } = new URL(address);

  function ask<T>(command: Command): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error("the reading process ended"));
      child.once("exit", fail);
      child.once("message", (answer) => {
        child.off("exit", fail);
        resolve(answer as T);
      });
      child.send(command);
    });
  }

  const requests = wanted.map(({ path, headers = {} }) => {
    const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}`);
    return [`GET ${path} HTTP/1.1`, ...lines, "", ""].join("\r\n");
  });
  await ask({ kind: "open", port: Number(port), requests, ready });

  return {
    pid: child.pid ?? 0,

    /** Forgets what came. From then on it keeps the time of one message in this many. */
    start: (sampleEvery: number) => ask({ kind: "start", sampleEvery }),

    /** Resolves when this many events have come, or when no more come. */
    async finish(expected: number): Promise<Report> {
      let counted = { frames: 0 };
      let changedAt = performance.now();
      while (counted.frames < expected && performance.now() - changedAt < SILENCE_MS) {
        await delay(50);
        const now = await ask<{ frames: number }>({ kind: "count" });
        if (now.frames > counted.frames) changedAt = performance.now();
        counted = now;
      }
      return await ask<Report>({ kind: "report" });
    },

    async close() {
      child.disconnect();
      await exited;
    },
  };
}

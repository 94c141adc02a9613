import { endWithUs } from "../service.ts";
import { spawnScript } from "./script.ts";

export interface EventSourcesOptions {
  port: number;
  requests: string[];
}

/** What all have been sent since `forget`. Times in milliseconds since 1970. */
export interface CountsAt {
  /** How many are connected and have been told so. */
  ready: number;
  frames: number;
  repeated: number;
  resets: number;
  /** Of the last event that was not repeated, or of the last that became ready. */
  lastAt: number;
  /** How often a connection was refused, or ended before it was ready. */
  refused: number;
}

export type EventSources = Awaited<ReturnType<typeof openEventSources>>;

/**
 * In a process of their own, clients that do what a browser's EventSource does: they come again, after the time that
 * they were told, with the last id that they have seen. Resolves when all have been there once.
 */
export async function openEventSources(
  address: string,
  wanted: { path: string; headers?: Record<string, string> }[],
) {
  const child = spawnScript(new URL("./event-source-reader.ts", import.meta.url));
  const exited = endWithUs(child);
  const { port, host } = new URL(address);

  function ask(command: EventSourcesOptions | "tally" | "forget"): Promise<CountsAt> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error("the reading process ended"));
      child.once("exit", fail);
      child.once("message", (answer) => {
        child.off("exit", fail);
        resolve(answer as CountsAt);
      });
      child.send(command);
    });
  }

  const requests = wanted.map(({ path, headers = {} }) => {
    const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}`);
    return [`GET ${path} HTTP/1.1`, ...lines, ""].join("\r\n");
  });
  await ask({ port: Number(port), requests });

  return {
    tally: () => ask("tally"),
    /** Counts anew what is sent. */
    forget: () => ask("forget"),
    async close() {
      child.disconnect();
      await exited;
    },
  };
}

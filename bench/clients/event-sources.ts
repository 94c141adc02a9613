import { endWithUs } from "../service.ts";
import { spawnScript } from "./script.ts";

export interface EventSourcesOptions {
  port: number;
  requests: string[];
}

/** What all have received since `forget`. Times in milliseconds since 1970. */
export interface CountsAt {
  /** How many are connected and have got `ready`. */
  ready: number;
  frames: number;
  repeated: number;
  resets: number;
  /** The time of the last event that was not a repetition, or of the last client that became ready. */
  lastAt: number;
  /** How often a connection was refused, or ended before it was ready. */
  refused: number;
}

export type EventSources = Awaited<ReturnType<typeof openEventSources>>;

/**
 * Clients in another process that do what a browser's EventSource does: they reconnect after the time that they were given, with the
 * last id that they have seen. Resolves when all were connected once.
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
    /** Starts counting again. */
    forget: () => ask("forget"),
    async close() {
      child.disconnect();
      await exited;
    },
  };
}

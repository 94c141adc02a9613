import { spawn } from "node:child_process";
import { createEventReader } from "./event-reader.ts";

/** An event as a client saw it, with the time (`Date.now()`). */
export interface SeenEvent {
  event?: string | undefined;
  data?: string | undefined;
  id?: string | undefined;
  at: number;
  error?: string;
}

/** Opens a stream with a client. Times are from the machine's clock, because the clients are other processes. */
export type OpenStream = (
  url: string,
  token: string,
  lastEventId: string | undefined,
  onEvent: (event: SeenEvent) => void,
) => Promise<{ openedAt: number; close: () => void }>;

const MOZILLA = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/** curl, which does not buffer. It sends its own headers or those of a browser. */
export const openWithCurl =
  ({ asBrowser = false } = {}): OpenStream =>
  async (url, token, lastEventId, onEvent) => {
    const headers = [
      `Authorization: Bearer ${token}`,
      "Accept: text/event-stream",
      ...(lastEventId === undefined ? [] : [`Last-Event-ID: ${lastEventId}`]),
      ...(asBrowser ? [`User-Agent: ${MOZILLA}`] : []),
    ];
    const args = ["-sN", "--compressed", url, ...headers.flatMap((header) => ["-H", header])];
    const openedAt = Date.now();
    const child = spawn("curl", args, { stdio: ["ignore", "pipe", "ignore"] });
    const read = createEventReader((block) => onEvent({ ...block, at: Date.now() }));
    child.stdout.on("data", read);
    return { openedAt, close: () => void child.kill() };
  };

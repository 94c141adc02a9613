/** `event-sources.ts` controls this. Bare sockets, one buffer for all; it reads only the requested parts of an event. */
import { connect, type Socket } from "node:net";
import type { CountsAt, EventSourcesOptions } from "./event-sources.ts";

/** The backlog of connections that a server has not accepted holds 4096. */
const OPENING_AT_ONCE = 500;

/**
 * How many local addresses the clients of one server have. With 14,000 connections between the same two addresses and to the same
 * port, the kernel takes a millisecond to find a free port for one more.
 */
const ADDRESSES = 8;

/** The time that browsers wait without a `retry`. */
const DEFAULT_RETRY_MS = 3000;

const END = Buffer.from("\n\n");
const NOTIFICATION = Buffer.from("event: notification\n");
const BODY = Buffer.from("Message ");
const ID = Buffer.from("\nid: ");
const RETRY = Buffer.from("retry: ");

const buffer = Buffer.allocUnsafe(256 * 1024);
const tally: CountsAt = { ready: 0, frames: 0, repeated: 0, resets: 0, lastAt: 0, refused: 0 };
const forgetters: (() => void)[] = [];
const sockets = new Set<Socket>();

const now = () => performance.timeOrigin + performance.now();

function readLine(bytes: Buffer, from: number): string {
  return bytes.toString("latin1", from, bytes.indexOf("\n", from));
}

/** Resolves when it is ready for the first time. */
function open(port: number, request: string): Promise<void> {
  const localAddress = `127.0.0.${2 + (forgetters.length % ADDRESSES)}`;
  let lastId: string | undefined;
  let retryMs = DEFAULT_RETRY_MS;
  /** The messages that have come, one bit each. Those of one recipient have the numbers 1 to 30. */
  let seen = 0;
  forgetters.push(() => {
    seen = 0;
  });

  function read(bytes: Buffer, end: number) {
    for (let at = bytes.indexOf(NOTIFICATION); at !== -1 && at < end; ) {
      const from = bytes.indexOf("/", bytes.indexOf(BODY, at)) + 1;
      const bit = 1 << Number.parseInt(bytes.toString("latin1", from, from + 2), 10);
      tally.frames++;
      if (seen & bit) tally.repeated++;
      else tally.lastAt = now();
      seen |= bit;
      at = bytes.indexOf(NOTIFICATION, at + 1);
    }
    const id = bytes.lastIndexOf(ID, end);
    if (id !== -1) lastId = readLine(bytes, id + ID.length);
    if (bytes.includes("event: reset\n")) tally.resets++;
  }

  return new Promise((resolve) => {
    function join() {
      let isReady = false;
      let rest: Buffer | undefined;
      const callback = (length: number) => {
        const chunk = buffer.subarray(0, length);
        const bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
        const last = bytes.lastIndexOf(END);
        const end = last === -1 ? 0 : last + END.length;
        if (!isReady) {
          const retry = bytes.indexOf(RETRY);
          if (retry !== -1) retryMs = Number.parseInt(readLine(bytes, retry + RETRY.length), 10);
        }
        if (end > 0) read(bytes, end);
        if (!isReady && end > 0 && bytes.includes("event: ready\n")) {
          isReady = true;
          tally.ready++;
          tally.lastAt = now();
          resolve();
        }
        rest = bytes.length > end + 2 ? Buffer.from(bytes.subarray(end)) : undefined;
        return true;
      };
      const socket = connect({
        port,
        host: "127.0.0.1",
        localAddress,
        onread: { buffer, callback },
      });
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        if (isReady) tally.ready--;
        else tally.refused++;
        setTimeout(join, retryMs); // also after a refused connection, as the HTML standard says
      });
      socket.write(
        `${request}${lastId === undefined ? "" : `last-event-id: ${lastId}\r\n`}\r\n`,
        "latin1",
      );
    }
    join();
  });
}

async function openAll({ port, requests }: EventSourcesOptions) {
  const left = [...requests];
  const openNext = async () => {
    for (let request = left.pop(); request; request = left.pop()) await open(port, request);
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, openNext));
}

process.on("message", async (command: EventSourcesOptions | "tally" | "forget") => {
  if (command === "forget") {
    for (const forget of forgetters) forget();
    Object.assign(tally, { frames: 0, repeated: 0, resets: 0, refused: 0 });
  } else if (command !== "tally") await openAll(command);
  process.send?.(tally);
});
process.on("disconnect", () => process.exit());

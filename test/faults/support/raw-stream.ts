import { connect, type Socket } from "node:net";
import type { Reachable } from "../../support/service.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { createEventReader, type StreamBlock } from "./event-reader.ts";
import { createResponseReader } from "./http-response.ts";
import type { Delivery, Reader } from "./readers.ts";

export interface RawReaderOptions {
  name: string;
  recipientId: string;
  token: string;
  /** The URL of the service, such as `http://127.0.0.1:3000`. */
  address: string;
  /** It appends what it is shown, in order. */
  deliveries: Delivery[];
}

export type RawReader = ReturnType<typeof createRawReader>;

/**
 * A reader that a test controls: it stops reading, leaves, and reconnects with the id of the last complete event. It
 * has one connection at a time.
 */
export function createRawReader(options: RawReaderOptions) {
  const { name, recipientId, token, address, deliveries } = options;
  const { hostname, port } = new URL(address);
  const reader: Reader = {
    name,
    recipientId,
    connections: 0,
    statuses: new Map(),
    isReadById: undefined,
  };
  let socket: Socket | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  let lastId: string | undefined;
  let retryMs = 3000;

  /** Resolves when the stream is ready. Rejects if it ends before. */
  function open(): Promise<void> {
    const connection = ++reader.connections;
    const resumedFrom = lastId;
    const opening = connect({ host: hostname, port: Number(port) });
    socket = opening;
    // `once` of node:events would reject after an error.
    ended = new Promise((resolve) => opening.on("close", resolve));
    opening.on("error", () => {}); // "close" follows
    opening.write(streamRequest({ token, lastEventId: lastId }));

    return new Promise((resolve, reject) => {
      function onBlock({ event, id, data, retry }: StreamBlock) {
        lastId = id ?? lastId;
        if (retry) retryMs = Number(retry);
        if (event === "ready") resolve();
        if (event !== "notification" || data === undefined) return;
        const { id: notificationId, title, body } = JSON.parse(data);
        const at = performance.now();
        deliveries.push({
          ...{ reader: name, recipientId, id: notificationId, title, body, at },
          ...{ connection, resumedFrom, cursor: id },
        });
      }

      const readEvents = createEventReader(onBlock);
      const readResponse = createResponseReader({
        onHead: (status) => reader.statuses.set(status, (reader.statuses.get(status) ?? 0) + 1),
        onBody: readEvents,
        onEnd: () => opening.destroy(),
      });
      opening.on("data", (bytes) => {
        if (!opening.destroyed) readResponse(bytes);
      });
      opening.on("close", () => reject(new Error(`${name} ended before it was ready`)));
    });
  }

  async function close(): Promise<void> {
    socket?.destroy();
    await ended;
  }
  closeAfterTest(close);

  return {
    reader,
    open,
    /** Stops reading. The other side of the connection does not learn of it. */
    pause: () => void socket?.pause(),
    resume: () => void socket?.resume(),
    /** The `retry` that the service has sent. */
    retryMs: () => retryMs,
    /** Whether it has a connection whose end it has not noticed. */
    isOpen: () => socket !== undefined && !socket.destroyed,
    /** Resolves when either side has ended its connection. A paused reader does not notice the end. */
    ended: () => ended,
    close,
  };
}

/** Raw readers, not open yet. Reader n follows the nth recipient, and then again from the first. `log` is for the checker. */
export async function createRawReaders(
  service: Reachable,
  recipients: readonly string[],
  count = recipients.length,
) {
  const deliveries: Delivery[] = [];
  const readers: RawReader[] = [];
  for (let i = 0; i < count; i++) {
    const recipientId = recipients[i % recipients.length] as string;
    const token = await service.token(recipientId);
    const name = `reader ${i + 1}`;
    readers.push(createRawReader({ name, recipientId, token, address: service.url, deliveries }));
  }
  const log = { readers: readers.map(({ reader }) => reader), deliveries, resets: [] };
  return { readers, deliveries, log };
}

export interface StreamRequest {
  token: string;
  lastEventId?: string | undefined;
  method?: "GET" | "HEAD";
  version?: "1.1" | "1.0";
}

/** The text of a request for a stream. */
export function streamRequest(request: StreamRequest): string {
  const { token, lastEventId, method = "GET", version = "1.1" } = request;
  return [
    `${method} /api/notifications/stream HTTP/${version}`,
    "Host: bellwire.test",
    "Accept: text/event-stream",
    `Authorization: Bearer ${token}`,
    ...(lastEventId === undefined ? [] : [`Last-Event-ID: ${lastEventId}`]),
    "\r\n",
  ].join("\r\n");
}

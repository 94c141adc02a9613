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
  /** Where it connects to, such as `http://127.0.0.1:3000`. */
  address: string;
  /** Where what it is shown goes, in the order it comes. */
  deliveries: Delivery[];
}

export type RawReader = ReturnType<typeof createRawReader>;

/**
 * A reader for the checker that does what a test says: it stops reading, leaves, and comes again when it is told to,
 * with the id of the last event that was complete. One connection at a time.
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

  /** Resolves when the stream has said ready; rejects where it ends before. */
  function open(): Promise<void> {
    const connection = ++reader.connections;
    const resumedFrom = lastId;
    const opening = connect({ host: hostname, port: Number(port) });
    socket = opening;
    // Not once() of node:events, which rejects where there was an error.
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
    /** Takes nothing any more, of which the connection's other side is not told. */
    pause: () => void socket?.pause(),
    resume: () => void socket?.resume(),
    /** How long the service has told it to wait before it comes again. */
    retryMs: () => retryMs,
    /** Whether its connection has not ended, as far as it knows. */
    isOpen: () => socket !== undefined && !socket.destroyed,
    /** Resolves when its connection has ended, whoever ended it. A paused one does not notice. */
    ended: () => ended,
    close,
  };
}

/** A raw reader for each of these recipients, not open yet; `log` is what the checker compares. */
export async function createRawReaders(service: Reachable, recipients: readonly string[]) {
  const deliveries: Delivery[] = [];
  const readers: RawReader[] = [];
  for (const [i, recipientId] of recipients.entries()) {
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

/** A request for a stream, as bytes to be sent. */
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

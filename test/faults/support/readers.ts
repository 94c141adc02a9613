import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../../support/random.ts";
import type { Reachable } from "../../support/service.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { createEventReader, type StreamBlock } from "./event-reader.ts";
import { createResponseReader } from "./http-response.ts";
import { streamRequest } from "./raw-stream.ts";

/** A notification that a reader was shown. */
export interface Delivery {
  reader: string;
  /** The recipient of its stream. */
  recipientId: string;
  id: string;
  title: string | null;
  body: string | null;
  /** By `performance.now()`. */
  at: number;
  /** The number of this reader's connection, from 1, and where that connection resumed. */
  connection: number;
  resumedFrom: string | undefined;
  /** The event's id, from which the reader would resume. */
  cursor: string | undefined;
}

/** A reader must see all notifications of its recipient, each once. */
export interface Reader {
  name: string;
  recipientId: string;
  connections: number;
  /** The number of answers with each status. */
  statuses: Map<number, number>;
  /** Whether each notification is read, as the reader was told. Undefined for readers that do not follow this. */
  isReadById: Map<string, boolean> | undefined;
}

/** What the checker needs to know of readers of any kind. */
export interface ReaderLog {
  readers: readonly Reader[];
  deliveries: readonly Delivery[];
  resets: readonly { reader: string; reason: string; at: number }[];
}

export interface ReaderOptions {
  streams?: number;
  /** Stream n follows the nth recipient, and then again from the first. */
  recipients: readonly string[];
  /** The URL of the service for the next connection, such as `http://127.0.0.1:3000`. */
  addresses: () => string;
  token: (recipientId: string) => Promise<string>;
  random: Random;
  /** Each connection is cut after a number of bytes in this range. By default it is never cut. */
  cutAfterBytes?: readonly [min: number, max: number] | undefined;
  /** A connection is cut after this time without a byte. */
  silenceMs?: number;
}

export type Readers = Awaited<ReturnType<typeof startReaders>>;

/**
 * Browsers with a bad network: streams over raw sockets that break anywhere. They reconnect after any answer, with the
 * id of the last complete event.
 */
export async function startReaders(options: ReaderOptions) {
  const {
    streams = 50,
    recipients,
    addresses,
    random,
    cutAfterBytes,
    silenceMs = 45_000,
  } = options;
  const deliveries: Delivery[] = [];
  const resets: ReaderLog["resets"][number][] = [];
  const readyReaders = new Set<string>();
  const cuts = new Set<() => void>();
  let isClosed = false;

  const tokens = new Map<string, string>();
  for (const recipientId of recipients) tokens.set(recipientId, await options.token(recipientId));

  /** Follows one connection to its end. Resolves with the last id of a complete event. */
  function follow(reader: Reader, resumedFrom: string | undefined): Promise<string | undefined> {
    const { name, recipientId } = reader;
    const connection = ++reader.connections;
    let lastId = resumedFrom;
    let bytesLeft = cutAfterBytes ? random.between(...cutAfterBytes) : Number.POSITIVE_INFINITY;

    function onBlock({ event, id, data }: StreamBlock) {
      lastId = id ?? lastId;
      const parsed = data === undefined ? undefined : JSON.parse(data);
      const at = performance.now();
      if (event === "ready") readyReaders.add(name);
      if (event === "reset") resets.push({ reader: name, reason: parsed.reason, at });
      if (event === "state") {
        if (parsed.all?.readAt) markReadUpTo(reader, parsed.all.before);
        for (const change of parsed.changes)
          reader.isReadById?.set(change.id, change.readAt !== null);
      }
      if (event !== "notification") return;
      const { title, body } = parsed;
      reader.isReadById?.set(parsed.id, parsed.readAt !== null);
      deliveries.push({
        ...{ reader: name, recipientId, id: parsed.id, title, body, at },
        ...{ connection, resumedFrom, cursor: id },
      });
    }

    const { hostname, port } = new URL(addresses());
    const socket = connect({ host: hostname, port: Number(port) });
    const cut = () => void socket.destroy();
    cuts.add(cut);
    const readResponse = createResponseReader({
      onHead: (status) => reader.statuses.set(status, (reader.statuses.get(status) ?? 0) + 1),
      onBody: createEventReader(onBlock),
      onEnd: cut,
    });
    socket.write(streamRequest({ token: tokens.get(recipientId) ?? "", lastEventId: resumedFrom }));
    socket.on("data", (bytes) => {
      if (socket.destroyed) return;
      readResponse(bytes.subarray(0, bytesLeft));
      bytesLeft -= bytes.length;
      if (bytesLeft <= 0) cut();
    });
    socket.setTimeout(silenceMs, cut);
    socket.on("error", () => {}); // "close" follows
    return new Promise((resolve) => {
      socket.on("close", () => {
        cuts.delete(cut);
        resolve(lastId);
      });
    });
  }

  async function run(reader: Reader) {
    let lastId: string | undefined;
    while (!isClosed) {
      lastId = await follow(reader, lastId);
      await delay(random.int(200));
    }
  }

  const readers = Array.from(
    { length: streams },
    (_, i): Reader => ({
      name: `reader ${i + 1}`,
      recipientId: recipients[i % recipients.length] as string,
      connections: 0,
      statuses: new Map(),
      isReadById: new Map(),
    }),
  );
  const running = readers.map(run);

  async function until(fits: () => boolean, timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (!fits()) {
      if (performance.now() > end) throw new Error(`not so within ${timeoutMs} ms: ${fits}`);
      await delay(20);
    }
  }

  async function close(): Promise<void> {
    isClosed = true;
    for (const cut of cuts) cut();
    await Promise.all(running);
  }
  closeAfterTest(close);

  return {
    readers,
    deliveries,
    resets,
    /** Resolves when every reader has a position: from then on it may miss nothing. */
    ready: (timeoutMs = 60_000) => until(() => readyReaders.size === streams, timeoutMs),
    /** By `performance.now()`. Undefined before the first delivery. */
    lastDeliveryAt: () => deliveries.at(-1)?.at,
    until,
    close,
  };
}

/** A mark-all of many rows comes as one `state`, for every row up to `before` that the reader holds. */
function markReadUpTo({ isReadById }: Reader, before: string): void {
  for (const id of isReadById?.keys() ?? [])
    if (BigInt(id) <= BigInt(before)) isReadById?.set(id, true);
}

/** Readers of one service. Resolves when each of them has a position: from then on they may miss nothing. */
export async function openReaders(
  service: Reachable,
  options: Omit<ReaderOptions, "addresses" | "token">,
): Promise<Readers> {
  const { url, token } = service;
  const readers = await startReaders({ ...options, addresses: () => url, token });
  await readers.ready();
  return readers;
}

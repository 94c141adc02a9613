import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Random } from "../../support/random.ts";
import { closeAfterTest } from "./close-after-test.ts";
import { createEventReader, type StreamBlock } from "./event-reader.ts";
import { createResponseReader } from "./http-response.ts";
import { streamRequest } from "./raw-stream.ts";
import type { Delivery, Reader, ReaderLog, ReaderOptions } from "./readers.ts";

/** How a reader asks for what is new. */
export type Way = "stream" | "poll";

export interface RoamingReaderOptions
  extends Pick<ReaderOptions, "streams" | "recipients" | "addresses" | "token" | "random"> {
  ways: readonly Way[];
}

interface Roamer extends Reader {
  isReadById: Map<string, boolean>;
  /** Where it resumes, in either way. */
  cursor: string | undefined;
  /** The count that it was told last. */
  unread: number | undefined;
}

export type RoamingReaders = Awaited<ReturnType<typeof startRoamingReaders>>;

/** For this time a reader keeps to one way. Then it picks one again. */
const STAY_MS = [1000, 3000] as const;
/** The share of polls that the client aborts. */
const GIVEN_UP = 0.1;

/**
 * Readers that stream for a while and poll for a while, from one cursor: the id of an event goes into the next poll, and
 * the cursor of a poll into the next stream. After a cut or a missing answer they ask again from the same cursor.
 */
export async function startRoamingReaders(options: RoamingReaderOptions) {
  const { streams = 50, recipients, addresses, random, ways } = options;
  const deliveries: Delivery[] = [];
  const resets: ReaderLog["resets"][number][] = [];
  const aborts = new Set<AbortController>();
  /** `longestMs` does not include the time that the poll asked to wait. */
  const polls = { answered: 0, empty: 0, givenUp: 0, failed: 0, longestMs: 0 };
  /** How often a reader took its cursor from one way to the other. */
  let changes = 0;
  let isClosed = false;

  const tokens = new Map<string, string>();
  for (const recipientId of recipients) tokens.set(recipientId, await options.token(recipientId));
  const tokenOf = ({ recipientId }: Roamer) => tokens.get(recipientId) ?? "";

  function answered(reader: Roamer, status: number) {
    reader.statuses.set(status, (reader.statuses.get(status) ?? 0) + 1);
  }

  type Shown = Pick<Delivery, "connection" | "resumedFrom" | "cursor">;

  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire
  function show(reader: Roamer, { id, title, body, readAt }: any, shown: Shown) {
    const { name, recipientId } = reader;
    reader.isReadById.set(id, readAt !== null);
    const at = performance.now();
    deliveries.push({ reader: name, recipientId, id, title, body, at, ...shown });
  }

  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire
  function mark(reader: Roamer, changes: any[]) {
    for (const { id, readAt } of changes) reader.isReadById.set(id, readAt !== null);
  }

  const reset = ({ name }: Roamer, reason: string) =>
    void resets.push({ reader: name, reason, at: performance.now() });

  /** Follows one connection until the signal or its end. */
  function stream(reader: Roamer, signal: AbortSignal): Promise<void> {
    const connection = ++reader.connections;
    const resumedFrom = reader.cursor;

    function onBlock({ event, id, data }: StreamBlock) {
      reader.cursor = id ?? reader.cursor;
      if (data === undefined) return;
      const parsed = JSON.parse(data);
      if (event === "reset") reset(reader, parsed.reason);
      if (event === "state") mark(reader, parsed.changes);
      if (event === "notification") show(reader, parsed, { connection, resumedFrom, cursor: id });
      reader.unread = parsed.unread ?? reader.unread;
    }

    const { hostname, port } = new URL(addresses());
    const socket = connect({ host: hostname, port: Number(port) });
    const cut = () => void socket.destroy();
    const readResponse = createResponseReader({
      onHead: (status) => answered(reader, status),
      onBody: createEventReader(onBlock),
      onEnd: cut,
    });
    socket.write(streamRequest({ token: tokenOf(reader), lastEventId: resumedFrom }));
    socket.on("data", (bytes) => {
      if (!socket.destroyed) readResponse(bytes);
    });
    signal.addEventListener("abort", cut);
    socket.on("error", () => {}); // "close" follows
    return new Promise((resolve) => {
      socket.on("close", () => resolve());
    });
  }

  /** Rejects without an answer. The reader then keeps its cursor. */
  async function poll(reader: Roamer, wait: number, signal: AbortSignal): Promise<void> {
    const connection = ++reader.connections;
    const resumedFrom = reader.cursor;
    const url = new URL("/api/notifications/poll", addresses());
    url.searchParams.set("wait", `${wait}`);
    if (resumedFrom !== undefined) url.searchParams.set("since", resumedFrom);
    const headers = { authorization: `Bearer ${tokenOf(reader)}` };
    const askedAt = performance.now();
    const response = await fetch(url, { headers, signal });
    // biome-ignore lint/suspicious/noExplicitAny: what came over the wire
    const answer: any = await response.json();
    answered(reader, response.status);
    if (response.status !== 200) throw new Error(answer.code);
    polls.answered++;
    const overtimeMs = performance.now() - askedAt - wait * 1000;
    polls.longestMs = Math.max(polls.longestMs, overtimeMs);
    if (answer.notifications.length + answer.changes.length === 0) polls.empty++;
    const { cursor } = answer;
    reader.cursor = cursor;
    reader.unread = answer.unread;
    if (answer.reset !== null) reset(reader, answer.reset);
    for (const shown of answer.notifications)
      show(reader, shown, { connection, resumedFrom, cursor });
    mark(reader, answer.changes);
  }

  /** Aborts after the time, or when the readers close. */
  async function within(ms: number, ask: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    aborts.add(abort);
    const timer = setTimeout(() => abort.abort(), ms);
    try {
      await ask(abort.signal);
    } finally {
      clearTimeout(timer);
      aborts.delete(abort);
    }
  }

  async function pollFor(reader: Roamer, ms: number, random: Random) {
    const end = performance.now() + ms;
    while (!isClosed && performance.now() < end) {
      const wait = random.pick([0, 0.3, 1, 2]);
      const isGivenUp = random.chance(GIVEN_UP);
      const limitMs = isGivenUp ? random.int(500) : 20_000;
      await within(limitMs, (signal) => poll(reader, wait, signal)).catch(() => {
        if (isGivenUp) polls.givenUp++;
        else if (!isClosed) polls.failed++;
      });
      await delay(random.int(200));
    }
  }

  async function run(reader: Roamer, random: Random) {
    let last: Way | undefined;
    while (!isClosed) {
      const way = random.pick(ways);
      if (last !== undefined && way !== last && reader.cursor !== undefined) changes++;
      last = way;
      const ms = random.between(...STAY_MS);
      if (way === "stream") await within(ms, (signal) => stream(reader, signal));
      else await pollFor(reader, ms, random);
      await delay(random.int(200));
    }
  }

  const readers = Array.from(
    { length: streams },
    (_, i): Roamer => ({
      name: `reader ${i + 1}`,
      recipientId: recipients[i % recipients.length] as string,
      connections: 0,
      statuses: new Map(),
      isReadById: new Map(),
      cursor: undefined,
      unread: undefined,
    }),
  );
  const running = readers.map((reader) => run(reader, random.fork()));

  async function close(): Promise<void> {
    isClosed = true;
    for (const abort of aborts) abort.abort();
    await Promise.all(running);
  }
  closeAfterTest(close);

  return {
    readers,
    deliveries,
    resets,
    polls,
    changes: () => changes,
    /** Resolves when every reader has a position: from then on it may miss nothing. */
    async ready(timeoutMs = 60_000): Promise<void> {
      const end = performance.now() + timeoutMs;
      while (readers.some(({ cursor }) => cursor === undefined)) {
        if (performance.now() > end) throw new Error(`no position within ${timeoutMs} ms`);
        await delay(20);
      }
    },
    close,
  };
}

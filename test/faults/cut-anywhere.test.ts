import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { createRandom, seeds } from "../support/random.ts";
import { call } from "../support/service.ts";
import { expectExact } from "./support/checker.ts";
import { createEventReader, type StreamBlock } from "./support/event-reader.ts";
import { createResponseReader } from "./support/http-response.ts";
import { streamRequest } from "./support/raw-stream.ts";
import { openReaders } from "./support/readers.ts";
import { report } from "./support/report.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { type Database, openTrial } from "./support/trial.ts";
import { startWriters } from "./support/writers.ts";

const ENV = { MAX_STREAMS_PER_RECIPIENT: "100", REPLAY_LIMIT: "100000" };
const AT_ONCE = 20;
/** What one read has for each recipient, in order. */
const EVENTS = ["new 1", "new 2", "new 3", "state of old"];

/** A recipient, and after how many bytes their stream is cut. */
interface Victim {
  recipientId: string;
  offset: number;
}

interface CutStream {
  shown: string[];
  /** Where the client resumes: the id of the last complete event. */
  lastId: string;
  /** It got all events before it was cut. */
  isWhole: boolean;
}

describe("a stream that is cut after any byte shows each event of a read once", () => {
  test("in a replay", async () => {
    const { service, query } = await openTrial({ env: ENV });
    await cutEverywhere("replayed", service, query, async (victims) => {
      const positions = await writeOldRows(service, query, victims);
      await writeRows(query, victims);
      return await Promise.all(
        victims.map(async ({ recipientId, offset }, i) => {
          const lastEventId = positions[i] ?? "";
          const stream = await openRaw(service, recipientId, lastEventId);
          stream.cutAfter(offset);
          return await stream.ended();
        }),
      );
    });
  });

  test("live", async () => {
    const { service, query } = await openTrial({ env: ENV });
    await cutEverywhere("live", service, query, async (victims) => {
      await writeOldRows(service, query, victims);
      const streams = await Promise.all(
        victims.map(async ({ recipientId, offset }) => {
          const stream = await openRaw(service, recipientId);
          await stream.ready();
          stream.cutAfter(offset);
          return stream;
        }),
      );
      await writeRows(query, victims);
      return await Promise.all(streams.map(({ ended }) => ended()));
    });
  });
});

test.each(seeds())(
  "a thousand connections that are cut anywhere under load show each row once, seed %i",
  async (seed) => {
    const random = createRandom(seed);
    const recipients = Array.from({ length: 10 }, (_, i) => `${i + 1}`);
    const { databaseUrl, service, judge } = await openTrial({ env: ENV });
    const readers = await openReaders(service, {
      streams: 20,
      recipients,
      random: random.fork(),
      cutAfterBytes: [1, 4000],
    });
    const writers = await startWriters({
      url: databaseUrl,
      count: 8,
      recipients,
      random: random.fork(),
    });
    const streams = () =>
      readers.readers.reduce((sum, { statuses }) => sum + (statuses.get(200) ?? 0), 0);
    await readers.until(() => streams() > 1000 + readers.readers.length, 120_000);
    await writers.stop();

    const verdict = await judge({ readers, writers, timeoutMs: 60_000 });
    report({ fault: "cut after any byte, under load", seed, verdict });
    expectExact(verdict, { minReconnects: 1000 });
  },
);

/** Cuts after 0, 1, 2 … bytes, twenty recipients at a time, until the cuts come after the last event. */
async function cutEverywhere(
  fault: string,
  service: ServiceProcess,
  query: Database["query"],
  cut: (victims: Victim[]) => Promise<CutStream[]>,
): Promise<void> {
  const counts = new Set<number>();
  let offset = 0;
  for (let isPast = false; !isPast; offset += AT_ONCE) {
    const victims = Array.from({ length: AT_ONCE }, (_, i) => ({
      recipientId: `cut-${offset + i}`,
      offset: offset + i,
    }));
    const streams = await cut(victims);
    const rests = await resume(service, query, victims, streams);
    for (const [i, { shown }] of streams.entries()) {
      counts.add(shown.length);
      expect([...shown, ...(rests[i] ?? [])], `cut after byte ${offset + i}`).toEqual(EVENTS);
    }
    isPast = streams.every(({ isWhole }) => isWhole);
  }
  expect([...counts].sort()).toEqual([0, 1, 2, 3, 4]);
  const sent = offset * EVENTS.length;
  const exact = { sent, delivered: sent, lost: 0, repeated: 0, reconnects: offset };
  report({ fault: `cut after each byte, ${fault}`, verdict: exact });
}

async function resume(
  service: ServiceProcess,
  query: Database["query"],
  victims: readonly Victim[],
  streams: readonly CutStream[],
): Promise<string[][]> {
  const resumed = await Promise.all(
    victims.map(async ({ recipientId }, i) => {
      const stream = await openStream(service, recipientId, {
        lastEventId: streams[i]?.lastId ?? "",
      });
      await stream.waitFor(({ event }) => event === "ready");
      return stream;
    }),
  );
  await query("select bellwire.notify(id, 'test', body => 'mark') from unnest($1::text[]) id", [
    victims.map(({ recipientId }) => recipientId),
  ]);
  return await Promise.all(
    resumed.map(async ({ waitFor, events, close }) => {
      await waitFor(({ data }) => data.body === "mark");
      close();
      return events.slice(1, -1).map(({ event, data }) => data.body ?? `${event} of old`);
    }),
  );
}

/** Returns the position of each victim after its old row. */
async function writeOldRows(
  service: ServiceProcess,
  query: Database["query"],
  victims: readonly Victim[],
): Promise<string[]> {
  const ids = victims.map(({ recipientId }) => recipientId);
  await query("select bellwire.notify(id, 'test', body => 'old') from unnest($1::text[]) id", [
    ids,
  ]);
  return await Promise.all(ids.map(async (id) => (await call(service, id, "")).body.cursor));
}

/** In one transaction, so that one read has everything. */
async function writeRows(query: Database["query"], victims: readonly Victim[]): Promise<void> {
  await query(
    `with told as (
       select bellwire.notify(id, 'test', body => 'new ' || i)
         from unnest($1::text[]) id
        cross join generate_series(1, 3) i
     ),
     changed as (
       update bellwire.notifications
          set read_at = now()
        where recipient_id = any ($1)
          and body = 'old'
     )
     select from told`,
    [victims.map(({ recipientId }) => recipientId)],
  );
}

/** A stream over a raw socket that counts all bytes: of the headers, the chunk sizes and the text. */
async function openRaw(service: ServiceProcess, recipientId: string, lastEventId?: string) {
  const token = await service.token(recipientId);
  const { hostname, port } = new URL(service.url);
  const socket = connect({ host: hostname, port: Number(port) });
  const shown: string[] = [];
  let lastId = lastEventId;
  let bytesLeft = Number.POSITIVE_INFINITY;
  let check: () => void = () => {};

  function onBlock({ event, id, data }: StreamBlock) {
    lastId = id ?? lastId;
    if (event === "notification") shown.push(JSON.parse(data ?? "").body);
    else if (event === "state") shown.push("state of old");
    else if (event === "reset") shown.push("reset");
  }
  const read = createResponseReader({
    onHead: (status) => expect(status).toBe(200),
    onBody: createEventReader(onBlock),
    onEnd: () => {},
  });
  function cutAfter(bytes: number) {
    bytesLeft = bytes;
    if (bytesLeft === 0) socket.destroy();
  }
  socket.on("data", (bytes) => {
    if (socket.destroyed) return;
    read(bytes.subarray(0, bytesLeft));
    bytesLeft -= bytes.length;
    if (bytesLeft <= 0) socket.destroy();
    check();
  });
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => check());
  const until = (fits: () => boolean) =>
    new Promise<void>((resolve) => {
      check = () => fits() && resolve();
      check();
    });
  socket.write(streamRequest({ token, lastEventId }));

  return {
    ready: () => until(() => lastId !== undefined),
    cutAfter,
    /** Resolves when the stream is cut or has shown everything. */
    async ended(): Promise<CutStream> {
      await until(() => socket.destroyed || shown.length === EVENTS.length);
      const isWhole = !socket.destroyed;
      socket.destroy();
      return { shown, lastId: lastId ?? "", isWhole };
    },
  };
}

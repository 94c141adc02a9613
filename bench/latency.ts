import { get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { quantile } from "./quantile.ts";
import { addRound, type Result } from "./result.ts";
import { startService } from "./service.ts";

const ROUNDS = 5;
const WARM_UP = 200;
const INSERTS = 200;
/** Between two inserts. */
const PAUSES_MS = [20, 0];

/**
 * How long from a commit to the client, on an idle machine, beside what PostgreSQL itself needs.
 *
 * One writer inserts a message, waits until everybody has heard of it, and inserts the next: 20 ms later, and then at
 * once, which is faster than a read a tick (TICK_MS), so that most wait for theirs. The clock
 * starts when the writer has its commit acknowledged (a listener may well hear before that), and stops when a
 * bare LISTEN client has the NOTIFY, and when an SSE client has the frame.
 */
export async function latency(): Promise<Result> {
  const service = await startService();
  const { writer } = service;
  const listener = new pg.Client(service.databaseUrl);
  await listener.connect();

  const [bare, stream] = [createEar(), createEar()];
  listener.on("notification", bare.heard);
  await listener.query("listen bellwire");
  await openStream(service.address, await service.token("2"), stream.heard);

  async function insertOne() {
    const [atBare, atStream] = [bare.next(), stream.next()];
    await writer.query(
      "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello')",
    );
    const committed = performance.now();
    return { bare: (await atBare) - committed, stream: (await atStream) - committed };
  }

  for (let i = 0; i < WARM_UP; i++) await insertOne();
  const figures: Result["figures"] = {};
  for (const pauseMs of PAUSES_MS.flatMap((ms) => Array<number>(ROUNDS).fill(ms))) {
    const times = [];
    for (let i = 0; i < INSERTS; i++) {
      times.push(await insertOne());
      if (pauseMs > 0) await delay(pauseMs);
    }
    for (const contender of ["bare", "stream"] as const) {
      const own = times.map((time) => time[contender]);
      addRound(figures, `${contender}, every ${pauseMs} ms`, {
        "median ms": quantile(own, 0.5),
        "99th ms": quantile(own, 0.99),
      });
    }
  }
  await listener.end();
  await service.close();
  return {
    scenario: "latency",
    what: "commit to client",
    figures,
    goals: [],
    notes: [],
    place: service.place,
  };
}

/** Resolves with the time of the next call of `heard`, in milliseconds. */
function createEar() {
  let resolve: (at: number) => void = () => {};
  return {
    heard: () => resolve(performance.now()),
    next: () =>
      new Promise<number>((done) => {
        resolve = done;
      }),
  };
}

/** Calls `onNotification` for each frame; resolves when the stream is ready. */
async function openStream(address: string, token: string, onNotification: () => void) {
  const headers = { authorization: `Bearer ${token}` };
  await new Promise<void>((resolve) => {
    const request = get(`${address}/api/notifications/stream`, { headers, agent: false }, (res) => {
      res.on("error", () => {}); // the service ends the stream when it stops
      res.setEncoding("utf8").on("data", (text: string) => {
        if (text.includes("event: ready")) resolve();
        if (text.includes("event: notification")) onNotification();
      });
    });
    request.on("error", () => {});
  });
}

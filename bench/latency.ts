import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { openOneStream } from "./clients/one-stream.ts";
import { differenceGoal, inTurn, ROUNDS, ratioGoal } from "./compare.ts";
import { startCentrifugo } from "./peers/centrifugo.ts";
import { startExpressSse, USUAL_TRIGGER } from "./peers/express-sse.ts";
import { startPgEventserv } from "./peers/pg-eventserv.ts";
import { quantile } from "./quantile.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, mintToken, startDatabase, startInstance } from "./service.ts";

const MEDIAN = "median ms";
const WARM_UP = 200;
const INSERTS = 200;
/** The pause between two inserts, randomly up to half of it more or less. */
const PAUSE_MS = 20;

/** One database, a connection that writes into it, and who hears of the messages. */
interface Contender {
  name: string;
  writer: pg.Client;
  ear: Ear;
  version?: string;
  close(): Promise<void>;
}

/**
 * The time from a commit to the client on an idle machine, compared with what PostgreSQL itself needs.
 *
 * One writer inserts a message, waits until it is heard, and inserts the next: first after 20 ms, and in a second part at
 * once. The clock starts when the commit is acknowledged to the writer (a listener may hear earlier), and stops when this process has
 * received the message.
 */
export async function latency(): Promise<Result> {
  const database = await startDatabase();
  const result: Result = {
    scenario: "latency",
    what: `Messages are inserted one at a time: with a pause of ${PAUSE_MS} ms, plus or minus a random part of up to half of it, or without a pause (*at once*). The time runs from the acknowledged commit of the writer until the client has the message; both are in one process. ${ROUNDS} rounds of ${INSERTS} messages.`,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  const { figures, goals, notes } = result;
  const contenders: Contender[] = [];
  for (const start of [
    startBellwire,
    startListener,
    startReader,
    startPlainExpress,
    startEventserv,
    startCentrifugoPeer,
  ])
    await start(database).then(
      (contender) => contenders.push(contender),
      (err: Error) => notes.push(err.message),
    );
  for (const contender of contenders) await warmUp(contender);
  for (let round = 0; round < ROUNDS; round++)
    for (const contender of inTurn(contenders, round))
      for (const pauseMs of [PAUSE_MS, 0]) await measure(contender, pauseMs, figures);
  for (const contender of contenders) await contender.close();
  await database.close();

  const ratio = (peer: string, suffix: string, atMost: number) => {
    const [ours, theirs] = [`Bellwire${suffix}`, `${peer}${suffix}`];
    if (!figures[theirs]) return;
    const text = `median ms${suffix}, to ${peer}`;
    goals.push(ratioGoal(figures, text, [ours, MEDIAN], [theirs, MEDIAN], { atMost }));
  };
  ratio("plain Express", "", 1);
  ratio("Centrifugo", "", 1.3);
  ratio("plain Express", ", at once", 1.5);
  for (const [figure, atMost] of Object.entries({ [MEDIAN]: 0.5, "99th ms": 3 }))
    goals.push(
      differenceGoal(
        figures,
        `above a bare LISTEN, ${figure}`,
        ["Bellwire", figure],
        ["LISTEN", figure],
        atMost,
      ),
    );
  notes.push(
    "LISTEN is a bare client that hears the wake-ups of the same rules, in a database of its own: the lowest possible latency. *LISTEN, then `select 1`* also asks the database once at each wake-up: the lowest possible latency of a client that reads. pg_eventserv and Centrifugo send what the trigger made of the row; Bellwire and plain Express read the row at each wake-up.",
  );
  result.place = [...contenders.flatMap(({ version }) => version ?? []), database.place].join(", ");
  return result;
}

async function measure(contender: Contender, pauseMs: number, figures: Result["figures"]) {
  const times: number[] = [];
  for (let i = 0; i < INSERTS; i++) {
    times.push(await insertOne(contender));
    if (pauseMs > 0) await delay(pauseMs * (0.5 + Math.random()));
  }
  addRound(figures, pauseMs > 0 ? contender.name : `${contender.name}, at once`, {
    [MEDIAN]: quantile(times, 0.5),
    "99th ms": quantile(times, 0.99),
  });
}

/** Resolves with the milliseconds from the commit until the message is heard. */
async function insertOne({ name, writer, ear }: Contender): Promise<number> {
  const next = ear.next();
  await writer.query(
    "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Message 0/0 of a few words')",
  );
  const committedAt = performance.now();
  const at = await Promise.race([next, delay(LIMIT_MS, undefined, { ref: false })]);
  if (at === undefined) throw new Error(`${name} has not heard of a message in ${LIMIT_MS} ms`);
  return at - committedAt;
}

const LIMIT_MS = 5000;

/** Waits until the first message is heard, because some listen only after their first client has been connected for a while. */
async function warmUp(contender: Contender) {
  await insertOne(contender).catch(() => {});
  for (let i = 0; i < WARM_UP; i++) await insertOne(contender);
}

type Ear = ReturnType<typeof createEar>;

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

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  return client;
}

async function startBellwire({ url }: Database): Promise<Contender> {
  const ear = createEar();
  const service = await startInstance(url);
  const writer = await connect(url);
  const headers = { authorization: `Bearer ${await mintToken("2")}` };
  const path = "/api/notifications/stream";
  const open = await openOneStream(
    service.address,
    { path, headers, ready: "event: ready" },
    ear.heard,
  );
  return {
    name: "Bellwire",
    writer,
    ear,
    async close() {
      open.close();
      await Promise.all([writer.end(), service.close()]);
    },
  };
}

/** The minimum for a reader that is told everything by the wake-up. */
async function startListener(database: Database): Promise<Contender> {
  const url = await database.addDatabase("listener", ["sql/rules"]);
  const ear = createEar();
  const [writer, listener] = [await connect(url), await connect(url)];
  listener.on("notification", ear.heard);
  await listener.query("listen bellwire");
  return {
    name: "LISTEN",
    writer,
    ear,
    async close() {
      await Promise.all([writer.end(), listener.end()]);
    },
  };
}

/** The minimum for a reader that is woken and then reads: one round trip. */
async function startReader(database: Database): Promise<Contender> {
  const url = await database.addDatabase("reader", ["sql/rules"]);
  const ear = createEar();
  const [writer, listener, reader] = [await connect(url), await connect(url), await connect(url)];
  listener.on("notification", () => reader.query("select 1").then(ear.heard));
  await listener.query("listen bellwire");
  return {
    name: "LISTEN, then `select 1`",
    writer,
    ear,
    async close() {
      await Promise.all([writer.end(), listener.end(), reader.end()]);
    },
  };
}

async function startPlainExpress(database: Database): Promise<Contender> {
  const url = await database.addDatabase("express");
  const ear = createEar();
  const writer = await connect(url);
  await writer.query(USUAL_TRIGGER);
  const server = await startExpressSse(url);
  const open = await openOneStream(
    server.address,
    { path: "/stream?recipient=2", ready: "event: ready" },
    ear.heard,
  );
  return asContender("plain Express", server, { writer, ear, open });
}

async function startEventserv(database: Database): Promise<Contender> {
  const url = await database.addDatabase("eventserv");
  const ear = createEar();
  const server = await startPgEventserv(url);
  const open = await openOneStream(server.address, { ...server, ready: " 101 " }, ear.heard);
  return asContender("pg_eventserv", server, { writer: await connect(url), ear, open });
}

async function startCentrifugoPeer(database: Database): Promise<Contender> {
  const url = await database.addDatabase("centrifugo");
  const ear = createEar();
  const server = await startCentrifugo(url);
  const wanted = { path: server.path("2"), ready: '"connect"' };
  const open = await openOneStream(server.address, wanted, ear.heard);
  return asContender("Centrifugo", server, { writer: await connect(url), ear, open });
}

function asContender(
  name: string,
  server: { version: string; close(): Promise<void> },
  { writer, ear, open }: { writer: pg.Client; ear: Ear; open: { close(): void } },
): Contender {
  return {
    name,
    writer,
    ear,
    version: server.version,
    async close() {
      open.close();
      await writer.end();
      await server.close();
    },
  };
}

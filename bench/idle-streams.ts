import { openStreams, type Streams } from "./clients/streams.ts";
import { boundGoal, inTurn, ROUNDS, ratioGoal } from "./compare.ts";
import { expressVersion } from "./peers/express-sse.ts";
import { startMercure } from "./peers/mercure.ts";
import { startNchan } from "./peers/nchan.ts";
import { startScriptServer } from "./peers/script-server.ts";
import { idlePss } from "./pss.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, mintToken, startDatabase, startInstance } from "./service.ts";

const STREAMS = Number(process.env.BENCH_STREAMS ?? 10_000);
const WARM_UP = 500;

/** A server that was just started, and the request for a recipient's stream. */
interface IdleServer {
  address: string;
  pid: number;
  path(recipient: number): string;
  headers?(recipient: number): Promise<Record<string, string>>;
  /** What the server sends when a stream is open. */
  ready?: string;
  version?: string;
  close(): Promise<void>;
}

/** The memory of an open, idle stream, in a process that was started for the measurement. */
export async function idleStreams(): Promise<Result> {
  const database = await startDatabase();
  const result: Result = {
    scenario: "idle-streams",
    what: `${STREAMS} event streams are open, each of another recipient, and nothing is sent. The table has the growth of the server's processes (PSS) per stream. ${ROUNDS} rounds, each with new processes.`,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  const { figures, goals, notes } = result;
  const versions = new Set<string>();
  const peers = new Map<string, () => Promise<IdleServer>>(
    Object.entries({
      "bare socket": () => startScript("bare-socket"),
      "Node http": () => startScript("node-http"),
      "plain Express": startPlainExpress,
      nchan: startNchan,
      Mercure: startMercure,
    }),
  );
  const runTogether = async (servers: Map<string, IdleServer>) => {
    for (const [name, found] of await measure(servers)) addRound(figures, name, found);
    for (const server of servers.values()) {
      if (server.version) versions.add(server.version);
      await server.close();
    }
  };
  for (let round = 0; round < ROUNDS; round++) {
    await runTogether(new Map([["Bellwire", await startBellwire(database)]]));
    const servers = new Map<string, IdleServer>();
    for (const [name, start] of inTurn([...peers], round))
      await start().then(
        (server) => servers.set(name, server),
        (err: Error) => {
          notes.push(err.message);
          peers.delete(name);
        },
      );
    await runTogether(servers);
  }
  await database.close();

  const ours: [string, string] = ["Bellwire", PER_STREAM];
  goals.push(boundGoal(figures, "KB a stream", ours, { atMost: 5 }));
  if (figures.nchan)
    goals.push(ratioGoal(figures, "nchan's, to ours", ["nchan", PER_STREAM], ours, { atLeast: 1 }));
  notes.push(
    `The peers run at the same time, each with its own clients. Bellwire runs alone, because it reads the machine's table of connections. At the start ${WARM_UP} streams are opened and closed. Memory is the median of a minute, 10 s after that, and again 40 s after the last stream has opened. No garbage collection is forced. Program pages that processes share are not counted, and neither is the kernel's memory for a socket.`,
  );
  result.place = [...versions, database.place].join(", ");
  return result;
}

const PER_STREAM = "KB a stream";

/** Several are measured at once, because most of the time is waiting. */
async function measure(servers: Map<string, IdleServer>) {
  for (const server of servers.values()) await (await open(server, WARM_UP)).close();
  const readAll = (afterMs: number) =>
    Promise.all([...servers.values()].map(({ pid }) => idlePss(pid, afterMs)));
  const before = await readAll(10_000);
  const streams: Streams[] = [];
  for (const server of servers.values()) streams.push(await open(server, STREAMS));
  const after = await readAll(40_000);
  for (const own of streams) await own.close();
  return [...servers.keys()].map((name, i): [string, Record<string, number>] => {
    const [kb = Number.NaN, then = Number.NaN] = [before[i], after[i]];
    return [name, { [PER_STREAM]: (then - kb) / STREAMS, "MB before": kb / 1024 }];
  });
}

async function open(server: IdleServer, count: number): Promise<Streams> {
  const wanted = Array.from({ length: count }, async (_, i) => ({
    path: server.path(i + 1),
    headers: { accept: "text/event-stream", ...(await server.headers?.(i + 1)) },
  }));
  return await openStreams(server.address, await Promise.all(wanted), server.ready);
}

async function startBellwire(database: Database): Promise<IdleServer> {
  const instance = await startInstance(database.url, { MAX_NEW_STREAMS_PER_SECOND: "0" });
  return {
    ...instance,
    path: () => "/api/notifications/stream",
    headers: async (recipient) => ({
      authorization: `Bearer ${await mintToken(String(recipient))}`,
    }),
  };
}

async function startScript(name: string): Promise<IdleServer> {
  const server = await startScriptServer(new URL(`./peers/${name}.ts`, import.meta.url));
  return { ...server, path: (recipient) => `/stream?recipient=${recipient}` };
}

async function startPlainExpress(): Promise<IdleServer> {
  return { ...(await startScript("idle-express")), version: await expressVersion() };
}

import { openStreams } from "./clients/streams.ts";
import { boundGoal, inTurn, ROUNDS, ratioGoal } from "./compare.ts";
import { expressVersion } from "./peers/express-sse.ts";
import { startMercure } from "./peers/mercure.ts";
import { startNchan } from "./peers/nchan.ts";
import { startScriptServer } from "./peers/script-server.ts";
import { settledPss } from "./pss.ts";
import { addRound, type Result } from "./result.ts";
import { type Database, mintToken, startDatabase, startInstance } from "./service.ts";

const STREAMS = Number(process.env.BENCH_STREAMS ?? 10_000);
const WARM_UP = 500;

/** A server that has just been started, and how one asks it for the stream of a recipient. */
interface IdleServer {
  address: string;
  pid: number;
  path(recipient: number): string;
  headers?(recipient: number): Promise<Record<string, string>>;
  /** What a stream is sent when it is open. */
  ready?: string;
  version?: string;
  close(): Promise<void>;
}

/** What an open stream that waits costs in memory, of a process that was started for it. */
export async function idleStreams(): Promise<Result> {
  const database = await startDatabase();
  const result: Result = {
    scenario: "idle-streams",
    what: `${STREAMS} open event streams, each of a recipient of its own, to which nothing is sent: how much the server's processes have grown (PSS), a stream; ${ROUNDS} rounds, each with new processes.`,
    figures: {},
    goals: [],
    notes: [],
    place: database.place,
  };
  const { figures, goals, notes } = result;
  const versions = new Set<string>();
  const left = new Map<string, () => Promise<IdleServer>>(
    Object.entries({
      Bellwire: () => startBellwire(database),
      "bare socket": () => startScript("bare-socket"),
      "Node http": () => startScript("node-http"),
      "plain Express": startPlainExpress,
      nchan: startNchan,
      Mercure: startMercure,
    }),
  );
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, start] of inTurn([...left], round)) {
      const server = await start().catch((err: Error) => void notes.push(err.message));
      if (!server) {
        left.delete(name);
        continue;
      }
      if (server.version) versions.add(server.version);
      addRound(figures, name, await measure(server));
      await server.close();
    }
  await database.close();

  const ours: [string, string] = ["Bellwire", PER_STREAM];
  goals.push(boundGoal(figures, "KB a stream", ours, { atMost: 8 }));
  if (figures.nchan)
    goals.push(ratioGoal(figures, "nchan's, to ours", ["nchan", PER_STREAM], ours, 1));
  notes.push(
    `Before, ${WARM_UP} streams were opened and closed. Memory is read 20 s after that, and 50 s after the last stream has opened, when it has stayed within 5 % for 10 s; nobody is made to collect garbage. What the kernel keeps for a socket is in none of it.`,
  );
  result.place = [...versions, database.place].join(", ");
  return result;
}

const PER_STREAM = "KB a stream";

async function measure(server: IdleServer): Promise<Record<string, number>> {
  const open = async (count: number) => {
    const wanted = Array.from({ length: count }, async (_, i) => ({
      path: server.path(i + 1),
      headers: { accept: "text/event-stream", ...(await server.headers?.(i + 1)) },
    }));
    return await openStreams(server.address, await Promise.all(wanted), server.ready);
  };
  await (await open(WARM_UP)).close();
  const before = await settledPss(server.pid, 10_000);
  const streams = await open(STREAMS);
  const after = await settledPss(server.pid, 40_000);
  await streams.close();
  return { [PER_STREAM]: (after - before) / STREAMS, "MB before": before / 1024 };
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

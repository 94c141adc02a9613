import type { Pool } from "pg";
import type { Logger } from "../logger.ts";
import { DeafError, listen, type Probe, UnsentError } from "./listen-connection.ts";

export interface ListenerOptions {
  /** A direct connection to the primary: no transaction pooler passes LISTEN on. */
  url: string;
  /** Somebody committed something. The payload says nothing and is not looked at. */
  onWakeUp: () => void;
  /** LISTEN has just been set up, for the first time or again. */
  onListening: () => void;
  /** The connections that send the probes. */
  pool: Pool;
  log: Logger;
  probeMs?: number;
  probeTimeoutMs?: number;
}

export interface Listener {
  /** Why it does not hear what is committed, in a sentence for the operator; undefined while it does. */
  problem(): string | undefined;
  /** What does not keep it from hearing, and an operator should know all the same. */
  warnings(): string[];
  /** What the last probe found; undefined before the first. */
  lastProbe(): Probe | undefined;
  close(): Promise<void>;
}

/**
 * The one LISTEN connection. Begins at once, tries for ever, and never rejects.
 *
 * It is *listening* from the first probe it hears until its connection ends, or a probe is not heard (see
 * `listen`). Then it says why, once, and makes a new connection after a pause that grows to 10 s. Listening again, it
 * says so; what it did not hear meanwhile is for `onListening` to read.
 */
export function createListener(options: ListenerOptions): Listener {
  const { log } = options;
  let problem: Problem | undefined = PROBLEMS.connecting;
  let lastProbe: Probe | undefined;
  let isClosed = false;
  let endConnection: () => void = () => {};
  let endPause: () => void = () => {};

  function onProbe(probe: Probe) {
    if (problem) log.info({ ms: probe.ms }, "listening");
    problem = undefined;
    const before = findWarnings(lastProbe);
    const after = findWarnings(probe);
    for (const warning of after.filter((text) => !before.includes(text))) log.warn(warning);
    for (const warning of before.filter((text) => !after.includes(text)))
      log.info(`no longer: ${warning}`);
    lastProbe = probe;
  }

  async function run() {
    for (let attempt = 0; !isClosed; attempt++) {
      const connection = listen({
        ...options,
        onProbe(probe) {
          attempt = 0;
          onProbe(probe);
        },
      });
      endConnection = connection.close;
      const err = await connection.ended;
      if (isClosed) return;
      const found = explain(err);
      const isNew = !problem || problem === PROBLEMS.connecting;
      // While it lasts it may change; only what needs a person is said again.
      if (isNew || (found !== problem && found.level === "error"))
        log[found.level]({ err, problem: found.text }, "not listening");
      problem = found;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, backoffMs(attempt));
        endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  const running = run();

  return {
    problem: () => problem?.text,
    warnings: () => findWarnings(lastProbe),
    lastProbe: () => lastProbe,
    async close() {
      isClosed = true;
      endPause();
      endConnection();
      await running;
    },
  };
}

const findWarnings = (probe: Probe | undefined): string[] =>
  probe?.isSuspended ? ["wake-ups are suspended for good: rows arrive with the sweep"] : [];

interface Problem {
  /** What mends itself is a warning; what needs a person is an error. */
  level: "warn" | "error";
  text: string;
}

const PROBLEMS = {
  connecting: { level: "warn", text: "the LISTEN connection has not been made yet" },
  away: { level: "warn", text: "the LISTEN connection cannot be made or was lost" },
  unsent: {
    level: "warn",
    text: "the LISTEN connection cannot be probed: DATABASE_URL does not answer, or leads to a standby",
  },
  blocked: {
    level: "warn",
    text: "NOTIFY waits for a commit that does not end; is a synchronous standby away?",
  },
  silent: { level: "warn", text: "the LISTEN connection has gone silent" },
  deaf: {
    level: "error",
    text:
      "the LISTEN connection hears no NOTIFY; it must lead directly to the database: not through a pooler in " +
      "transaction mode, nor to another database (set DIRECT_DATABASE_URL)",
  },
  standby: {
    level: "error",
    text: "the LISTEN connection leads to a standby; it must lead to the primary",
  },
} satisfies Record<string, Problem>;

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const READ_ONLY_SQL_TRANSACTION = "25006"; // what LISTEN answers on a standby
const LOCK_NOT_AVAILABLE = "55P03";

function explain(err: unknown): Problem {
  if (err instanceof DeafError) return err.hasHeard ? PROBLEMS.silent : PROBLEMS.deaf;
  if (err instanceof UnsentError)
    return codeOf(err.cause) === LOCK_NOT_AVAILABLE ? PROBLEMS.blocked : PROBLEMS.unsent;
  return codeOf(err) === READ_ONLY_SQL_TRANSACTION ? PROBLEMS.standby : PROBLEMS.away;
}

const codeOf = (err: unknown) => (err instanceof Error && "code" in err ? err.code : undefined);

/** Up to 250 ms, 500 ms, 1 s … 10 s, half of it by chance, so that a fleet does not come back at once. */
function backoffMs(attempt: number): number {
  const full = Math.min(10_000, 250 * 2 ** attempt);
  return full / 2 + (Math.random() * full) / 2;
}

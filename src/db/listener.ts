import type { Pool } from "pg";
import type { Logger } from "../logger.ts";
import { listen } from "./listen-connection.ts";
import { DeafError, type ProbeResult, UnsentError } from "./probe.ts";

export interface ListenerOptions {
  /** A direct connection to the primary: a transaction pooler does not pass LISTEN on. */
  url: string;
  /** A transaction has committed something to read. The payload is ignored. */
  onWakeUp: () => void;
  /** LISTEN has just been set up, for the first time or again. */
  onListening: () => void;
  /** Sends the probes. */
  pool: Pool;
  log: Logger;
  probeMs?: number;
  probeTimeoutMs?: number;
}

export interface Listener {
  /** Why the listener does not hear commits, in a sentence for the operator; undefined while it hears them. */
  problem(): string | undefined;
  /** Conditions that an operator should know, although the listener still hears commits. */
  warnings(): string[];
  /** Undefined before the first probe is heard. */
  lastProbe(): ProbeResult | undefined;
  close(): Promise<void>;
}

/**
 * Keeps one LISTEN connection. Starts at once, tries for ever, and never rejects.
 *
 * It is *listening* from the first probe that it hears until the connection ends (see `listen`). Then it logs the reason, once, and
 * makes a new connection after a pause that grows to 10 s. When it listens again, it logs that. `onListening` makes the feed read
 * what was missed.
 */
export function createListener(options: ListenerOptions): Listener {
  const { log } = options;
  let problem: Problem | undefined = PROBLEMS.connecting;
  let lastProbe: ProbeResult | undefined;
  let isClosed = false;
  let endConnection: () => void = () => {};
  let endPause: () => void = () => {};

  function onProbe(result: ProbeResult) {
    if (problem) log.info({ ms: result.ms }, "listening");
    problem = undefined;
    const before = findWarnings(lastProbe);
    const after = findWarnings(result);
    for (const warning of after.filter((text) => !before.includes(text))) log.warn(warning);
    for (const warning of before.filter((text) => !after.includes(text)))
      log.info(`no longer: ${warning}`);
    lastProbe = result;
  }

  async function run() {
    for (let attempt = 0; !isClosed; attempt++) {
      const connection = listen({
        ...options,
        onProbe(result) {
          attempt = 0;
          onProbe(result);
        },
      });
      endConnection = connection.close;
      const err = await connection.ended;
      if (isClosed) return;
      onEnd(err);
      await pause(backoffMs(attempt));
    }
  }

  function onEnd(err: unknown) {
    const found = explain(err);
    const isNew = !problem || problem === PROBLEMS.connecting;
    // During one outage the problem may change. The change is logged only if the new problem needs a person.
    if (isNew || (found !== problem && found.level === "error"))
      log[found.level]({ err, problem: found.text }, "not listening");
    problem = found;
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
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

const findWarnings = (probe: ProbeResult | undefined): string[] =>
  probe?.isSuspended ? ["wake-ups are suspended for good: rows arrive with the sweep"] : [];

interface Problem {
  /** `warn`: the listener recovers by itself. `error`: a person must act. */
  level: "warn" | "error";
  text: string;
}

const PROBLEMS = {
  connecting: { level: "warn", text: "the LISTEN connection has not been made yet" },
  unavailable: { level: "warn", text: "the LISTEN connection cannot be made or was lost" },
  unsent: {
    level: "warn",
    text: "the LISTEN connection cannot be probed: DATABASE_URL does not answer, or leads to a standby",
  },
  blocked: {
    level: "warn",
    text: "NOTIFY waits for a commit that does not end; is a synchronous standby unavailable?",
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
const READ_ONLY_SQL_TRANSACTION = "25006"; // the answer to LISTEN on a standby
const LOCK_NOT_AVAILABLE = "55P03";

function explain(err: unknown): Problem {
  if (err instanceof DeafError) return err.hasHeard ? PROBLEMS.silent : PROBLEMS.deaf;
  if (err instanceof UnsentError)
    return codeOf(err.cause) === LOCK_NOT_AVAILABLE ? PROBLEMS.blocked : PROBLEMS.unsent;
  return codeOf(err) === READ_ONLY_SQL_TRANSACTION ? PROBLEMS.standby : PROBLEMS.unavailable;
}

const codeOf = (err: unknown) => (err instanceof Error && "code" in err ? err.code : undefined);

/** Up to 250 ms, 500 ms, 1 s … 10 s. Half of it is random, so that many instances do not reconnect at the same moment. */
function backoffMs(attempt: number): number {
  const full = Math.min(10_000, 250 * 2 ** attempt);
  return full / 2 + (Math.random() * full) / 2;
}

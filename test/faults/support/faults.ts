import type { Random } from "../../support/random.ts";
import { closeAfterTest } from "./close-after-test.ts";
import type { Postgres } from "./postgres.ts";
import type { ServiceProcess } from "./service-process.ts";

export type Fault = (random: Random) => Promise<void>;

export interface FaultOptions {
  faults: Record<string, Fault>;
  random: Random;
  /** The pause before each fault. */
  pauseMs: readonly [min: number, max: number];
}

/** Does random faults, one after another. `close` waits for the last one. */
export function startFaults({ faults, random, pauseMs }: FaultOptions) {
  const done: string[] = [];
  let isClosed = false;
  let endPause: () => void = () => {};

  async function run() {
    for (;;) {
      await new Promise<void>((resolve) => {
        endPause = resolve;
        setTimeout(resolve, random.between(...pauseMs));
      });
      if (isClosed) return;
      const name = random.pick(Object.keys(faults));
      await faults[name]?.(random);
      done.push(name);
    }
  }

  const running = run();
  running.catch(() => {}); // `close` rejects
  async function close(): Promise<void> {
    isClosed = true;
    endPause();
    await running;
  }
  closeAfterTest(close);
  return {
    /** The names of the faults that were done, in order. */
    done,
    close,
  };
}

/** Ends a backend of the service: the listener's or one of a pool. */
export const terminateBackend =
  (postgres: Postgres): Fault =>
  async (random) => {
    const listener = await postgres.backendPids("bellwire listener");
    const pools = await postgres.backendPids("bellwire");
    const pids = random.chance(0.5) ? [...listener, ...pools] : listener;
    if (pids.length > 0)
      await postgres.query("select pg_terminate_backend($1)", [random.pick(pids)]);
  };

/** Freezes the LISTEN backend for a time. Other faults continue meanwhile, and `thaw` ends it early. */
export const freezeListener =
  (postgres: Postgres, forMs: readonly [min: number, max: number]): Fault =>
  async (random) => {
    const [pid] = await postgres.backendPids("bellwire listener");
    if (pid === undefined) return;
    postgres.signalBackend(pid, "SIGSTOP");
    setTimeout(() => postgres.signalBackend(pid, "SIGCONT"), random.between(...forMs)).unref();
  };

export const restartPostgres =
  (postgres: Postgres): Fault =>
  async (random) => {
    await postgres.restart(random.pick(["fast", "immediate"]));
  };

export const restartService =
  (service: ServiceProcess): Fault =>
  async (random) => {
    await service.restart(random.pick(["SIGKILL", "SIGTERM"]));
  };

import { Failure } from "./api.ts";

/**
 * `connecting`: not reached yet, or not for 10 s at most. `live`: events come as they happen. `polling`: streams do not get through, polls do. `offline`:
 * not reached for longer. `signed_out`: there is no valid token. `refused`: this page or this recipient may not.
 */
export type Status = "connecting" | "live" | "polling" | "offline" | "signed_out" | "refused";

/** Whom the attempts are reported to. */
export interface Reports {
  onStatus: (status: Status) => void;
  log: (text: string) => void;
}

const OFFLINE_MS = 10_000;
const [FIRST_MS, LONGEST_MS] = [500, 30_000];

export type Trying = ReturnType<typeof keepTrying>;

/**
 * Repeats an attempt until it resolves to `done`. Any other attempt resolves to the pause before the next one, in milliseconds. After a failure the
 * pause is random: at most 0.5, 1, 2, … 30 s, but at least what the service asks for. Without a valid token, or when it is refused, it waits for `wake`.
 */
export function keepTrying(
  attempt: (signal: AbortSignal) => Promise<number | "done">,
  { onStatus, log }: Reports,
) {
  let isClosed = false;
  let failures = 0;
  let offlineTimer: ReturnType<typeof setTimeout> | undefined;
  let current = new AbortController();
  let endPause = () => {};

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms < Number.POSITIVE_INFINITY ? setTimeout(resolve, ms) : undefined;
      endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function lose(): void {
    if (offlineTimer) return;
    onStatus("connecting");
    offlineTimer = setTimeout(onStatus, OFFLINE_MS, "offline");
  }

  function reach(status?: Status): void {
    failures = 0;
    clearTimeout(offlineTimer);
    offlineTimer = undefined;
    if (status) onStatus(status);
  }

  function pauseAfter(failure: unknown): number {
    const { kind, retryMs } = failure instanceof Failure ? failure : { kind: "away", retryMs: 0 };
    if (kind === "unauthorized" || kind === "forbidden") {
      reach(kind === "forbidden" ? "refused" : "signed_out");
      return Number.POSITIVE_INFINITY;
    }
    lose();
    return Math.max(retryMs, Math.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** failures++));
  }

  async function run(): Promise<void> {
    while (!isClosed) {
      current = new AbortController();
      let pauseMs: number;
      try {
        const next = await attempt(current.signal);
        if (next === "done") return reach();
        pauseMs = next;
      } catch (failure) {
        if (isClosed) return;
        pauseMs = current.signal.reason === WOKEN ? 0 : pauseAfter(failure);
        log(`${failure}; again in ${(pauseMs / 1000).toFixed(1)} s`);
      }
      if (pauseMs > 0 && !isClosed) await pause(pauseMs);
    }
  }

  void run();

  return {
    /** The service was reached; `status` is what that makes of the connection. */
    reach,
    /** The connection ended without a failure. */
    lose,
    /** Tries again now: ends the pause, or an attempt that has heard nothing for a while. */
    wake(isStale: boolean): void {
      failures = 0;
      endPause();
      if (isStale) current.abort(WOKEN);
    },
    close(): void {
      isClosed = true;
      clearTimeout(offlineTimer);
      endPause();
      current.abort();
    },
  };
}

const WOKEN = new Error("the page was shown again");

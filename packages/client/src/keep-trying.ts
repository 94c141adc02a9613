import { Failure, type FailureKind, NO_ANSWER_MS } from "./api.ts";

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

export interface Attempt {
  /** Aborted when the attempt is given up. */
  signal: AbortSignal;
  /**
   * Gives the attempt up in so many milliseconds, unless it ends or this is called again before. It has then failed, or is repeated at once if
   * `onLate` returns no failure.
   */
  giveUpIn(ms: number, onLate?: () => Failure | undefined): void;
}

export type Trying = ReturnType<typeof keepTrying>;

const OFFLINE_MS = 10_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** After a longer silence the network may have changed, and the connection may be dead. */
const STALE_MS = 45_000;
/** A longer timer would end at once. */
const FOR_EVER_MS = 2 ** 31 - 1;

/** What does not pass by itself. */
const LASTING: Partial<Record<FailureKind, Status>> = {
  unauthorized: "signed_out",
  forbidden: "refused",
};

/** Why an attempt is given up that has not failed. */
const AGAIN = {};

/**
 * Repeats an attempt until it is closed. Each resolves to the pause before the next one, in milliseconds. After a failure the pause is random: at most
 * 0.5, 1, 2, … 30 s, but at least what the service asks for. Without a valid token, or when it is refused, it waits for `wake`.
 */
export function keepTrying(
  attempt: (attempt: Attempt) => Promise<number>,
  { onStatus, log }: Reports,
) {
  let isClosed = false;
  let failures = 0;
  let heardAt: number;
  let offlineTimer: ReturnType<typeof setTimeout> | undefined;
  let current: AbortController;
  let endPause = () => {};

  async function run(): Promise<void> {
    while (!isClosed) {
      const own = new AbortController();
      current = own;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const giveUpIn: Attempt["giveUpIn"] = (ms, onLate = noAnswer) => {
        heardAt = Date.now();
        clearTimeout(timer);
        timer = setTimeout(() => own.abort(onLate() ?? AGAIN), ms);
      };
      giveUpIn(NO_ANSWER_MS);
      const pauseMs = await attempt({ signal: own.signal, giveUpIn }).catch((error) => {
        const failure = own.signal.aborted ? own.signal.reason : error;
        return failure === AGAIN ? 0 : pauseAfter(failure);
      });
      clearTimeout(timer);
      own.abort();
      if (pauseMs === 0 || isClosed) continue;
      await new Promise<void>((resolve) => {
        const pause = setTimeout(resolve, pauseMs);
        endPause = () => {
          clearTimeout(pause);
          resolve();
        };
      });
    }
  }

  function pauseAfter(failure: unknown): number {
    log(`${failure}`);
    const { kind, retryMs } = failure instanceof Failure ? failure : noAnswer();
    const lasting = LASTING[kind];
    if (lasting) {
      reach(lasting);
      return FOR_EVER_MS;
    }
    if (!offlineTimer) {
      onStatus("connecting");
      offlineTimer = setTimeout(onStatus, OFFLINE_MS, "offline");
    }
    const longestMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++);
    const ms = Math.max(retryMs, Math.random() * longestMs);
    log(`reconnecting in ${(ms / 1000).toFixed(1)} s`);
    return ms;
  }

  function reach(status: Status): void {
    failures = 0;
    clearTimeout(offlineTimer);
    offlineTimer = undefined;
    onStatus(status);
  }

  void run();

  return {
    /** The service was reached; `status` is what that makes of the connection. */
    reach,
    /** The page was shown again, or the network came back: tries again now, if it waits or has heard nothing for a while. */
    wake(): void {
      failures = 0;
      endPause();
      if (Date.now() - heardAt > STALE_MS) current.abort(AGAIN);
    },
    close(): void {
      isClosed = true;
      clearTimeout(offlineTimer);
      endPause();
      current.abort(AGAIN);
    },
  };
}

const noAnswer = () => new Failure("away", "no answer");

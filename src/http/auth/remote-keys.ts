import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { Problem, retryAfter } from "../problem.ts";

/** After this the keys are fetched again, while those we have go on. */
const FRESH_MS = 10 * 60_000;
/** So long keys may go on that cannot be fetched again; a key that was withdrawn must end some time. */
const STALE_MS = 48 * 60 * 60_000;
/** At most one fetch in this time, whatever keys are asked for; while we have none, in `RETRY_MS`. */
const COOLDOWN_MS = 30_000;
const RETRY_MS = 1000;
const TIMEOUT_MS = 5000;

/**
 * The keys of a JWK Set (RFC 7517 §5) at an address, as jose asks for them.
 *
 * A token that names a key we have never waits. One that names another waits for a fetch, if the last was `COOLDOWN_MS`
 * ago: so a new key counts half a minute after it is published, and a flood of made-up names is one fetch in
 * that time. While the address does not answer the keys we have go on for two days. Throws what jose throws of a
 * token whose key is in no set; Problem `keys_unavailable` where that cannot be known. jose's own remote set has the
 * cooldown only after success, and no keys once they are ten minutes old. `readClock` gives milliseconds.
 */
export function createRemoteKeys(
  url: string,
  readClock: () => number = () => performance.now(),
): JWTVerifyGetKey {
  let find: FindKey | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let triedAt = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let fetching: Promise<void> | undefined;

  /** Resolves when the fetch that is due, or that runs, has ended. What came of it is in `find` and `failure`. */
  async function refresh(now: number): Promise<void> {
    if (!fetching && now - triedAt >= (find ? COOLDOWN_MS : RETRY_MS)) {
      triedAt = now;
      fetching = fetchKeys(url)
        .then(
          (fetched) => {
            find = fetched;
            fetchedAt = readClock();
            failure = undefined;
          },
          (err) => {
            failure = err;
          },
        )
        .finally(() => {
          fetching = undefined;
        });
    }
    await fetching;
  }

  return async (header, token) => {
    const now = readClock();
    if (now - fetchedAt > STALE_MS) find = undefined;
    if (!find) await refresh(now);
    else if (now - fetchedAt > FRESH_MS) void refresh(now);
    if (!find) throw keysUnavailable(failure);
    try {
      return await find(header, token);
    } catch (err) {
      if (!(err instanceof errors.JWKSNoMatchingKey)) throw err;
      await refresh(now);
      if (failure) throw keysUnavailable(failure);
      return await find(header, token);
    }
  };
}

type FindKey = ReturnType<typeof createLocalJWKSet>;

async function fetchKeys(url: string): Promise<FindKey> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
    // Somebody else's address is not where our keys are.
    redirect: "error",
    headers: { Accept: "application/jwk-set+json, application/json" },
  });
  if (response.status !== 200) throw new Error(`The JWK Set's address answered ${response.status}`);
  return createLocalJWKSet((await response.json()) as JSONWebKeySet); // throws where it is none
}

const keysUnavailable = (cause: unknown) =>
  new Problem("keys_unavailable", "The keys for tokens cannot be fetched. Try again.", {
    headers: retryAfter(5),
    cause,
  });

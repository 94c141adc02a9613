import {
  createRemoteJWKSet,
  customFetch,
  errors,
  type JWTVerifyGetKey,
  type RemoteJWKSet,
} from "jose";
import { Problem, retryAfter } from "../problem.ts";

/** The keys are fetched again after this, in the background. */
const REFRESH_MS = 10 * 60_000;
/** If the keys cannot be fetched again, the old ones are used for this long. A withdrawn key must stop working at some time. */
const MAX_AGE_MS = 48 * 60 * 60_000;
/** At most one fetch in this time, whatever keys the tokens name. While we have no keys, at most one in `RETRY_MS`. */
const COOLDOWN_MS = 30_000;
const RETRY_MS = 1000;

/**
 * Finds a token's key in the JWK Set (RFC 7517 §5) at a URL. It is jose's remote set with three additions. Keys are fetched again
 * before they are too old for jose, so that no request waits for them. Keys that cannot be fetched again stay in use for two
 * days. The cooldown also applies after a failed fetch.
 *
 * A token with a known key never waits. A token with an unknown key waits for a fetch, if the last one was `COOLDOWN_MS` ago.
 * So a new key is accepted at most half a minute after it is published, and a flood of unknown keys causes one fetch in that
 * time. Throws jose's error if the set has no key for the token, and Problem `keys_unavailable` if the set cannot be fetched.
 */
export function createRemoteKeys(url: string): JWTVerifyGetKey {
  let askedAt = Number.NEGATIVE_INFINITY;
  const wasAskedWithin = (ms: number) => performance.now() - askedAt < ms;

  const keys: RemoteJWKSet = createRemoteJWKSet(new URL(url), {
    cacheMaxAge: MAX_AGE_MS + 1, // jose's limit is exclusive
    cooldownDuration: COOLDOWN_MS,
    async [customFetch](href, options) {
      if (wasAskedWithin(keys.fresh ? COOLDOWN_MS : RETRY_MS))
        throw new Error("The JWK Set was asked for a moment ago");
      askedAt = performance.now();
      return await fetch(href, options);
    },
  });

  return async (header, token) => {
    // A failure is ignored: the present keys stay in use, and a later request tries again.
    if (keys.fresh && !wasAskedWithin(REFRESH_MS)) keys.reload().catch(() => {});
    try {
      return await keys(header, token);
    } catch (err) {
      if (NO_KEY.some((NoKey) => err instanceof NoKey)) throw err;
      throw keysUnavailable(err);
    }
  };
}

/** The set has no key for the token, or the token does not say which of several. */
const NO_KEY = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys];

const keysUnavailable = (cause: unknown) =>
  new Problem("keys_unavailable", "The keys that verify tokens cannot be fetched. Try again.", {
    headers: retryAfter(5),
    cause,
  });

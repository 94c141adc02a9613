/** A token that was issued after a revocation may be refused as well, for up to half a minute. */
const REVOKED_MS = 60_000;
const REVOKED_PAUSE_MS = 5000;
/** Longer than a poll waits. */
export const NO_ANSWER_MS = 35_000;

export interface ApiOptions {
  /** The base of the service's routes, for example `/api/notifications`. */
  url: string;
  /** Resolves to a token for the `Authorization` header. Without it, requests carry the page's cookies. */
  getToken?: (() => Promise<string>) | undefined;
  /** The cookie, or the token, is now another recipient's. */
  onOtherRecipient: () => void;
}

/**
 * Why a request was not answered. `unauthorized`: there is no valid token, and a new one did not help, or it is another recipient's. `forbidden`: this
 * page's origin, or this recipient, may not. `invalid`: the service does not accept the request, for example because the notification was deleted.
 * `away`: anything that will pass: no network, a proxy's page, a restart.
 */
export type FailureKind = "unauthorized" | "forbidden" | "invalid" | "away";

const KINDS: Record<number, FailureKind> = { 401: "unauthorized", 403: "forbidden" };

export class Failure extends Error {
  readonly kind: FailureKind;
  /** The service asks to wait this long, in milliseconds. */
  readonly retryMs: number;

  constructor(kind: FailureKind, message: string, retryMs = 0) {
    super(message);
    this.kind = kind;
    this.retryMs = retryMs;
  }
}

/** Every request ends, also one that nobody answers. */
type Init = RequestInit & { signal: AbortSignal };

export type Api = ReturnType<typeof createApi>;

/** One recipient's requests. */
export function createApi({ url, getToken, onOtherRecipient }: ApiOptions) {
  let token: Promise<string> | undefined;
  let recipient: string | null = null;
  let revokedAt = 0;

  /** The next request asks for a new token. False if there are only cookies. */
  function renewToken(reason?: string): boolean {
    token = undefined;
    if (reason === "revoked") revokedAt = Date.now();
    return !!getToken;
  }

  async function send(path: string, init: Init): Promise<Response> {
    const headers: Record<string, string> = {};
    if (init.body) {
      headers["content-type"] = "application/json";
      // The cookie may have become another user's, whom this change is not for: the service refuses it then.
      if (recipient) headers["bellwire-recipient"] = recipient;
    }
    try {
      token ??= getToken?.();
      if (token) {
        // The page's own request for it may never end, for example when the page was frozen.
        const end = new Promise<never>((_, reject) =>
          init.signal.addEventListener("abort", reject),
        );
        headers.authorization = `Bearer ${await Promise.race([token, end])}`;
      }
    } catch (cause) {
      renewToken();
      throw cause;
    }
    return await fetch(url + path, {
      ...init,
      headers,
      credentials: getToken ? "omit" : "include",
    });
  }

  /** A response of the service to this recipient. A proxy's page does not name the recipient. Also throws what `fetch` does. */
  async function ask(path: string, init: Init): Promise<Response> {
    let response = await send(path, init);
    if (response.status === 401 && renewToken()) response = await send(path, init);
    const named = response.headers.get("bellwire-recipient");
    recipient ??= named;
    if (named && named !== recipient) {
      onOtherRecipient();
      throw new Failure("unauthorized", "another recipient");
    }
    if (response.ok && named) return response;
    throw await failureOf(response);
  }

  async function failureOf(response: Response): Promise<Failure> {
    const { status, headers } = response;
    const isOurs = headers.get("content-type")?.includes("problem+json");
    const message = `${status} ${isOurs ? (await response.json()).code : "no bellwire-recipient"}`;
    if (status === 401 && Date.now() - revokedAt < REVOKED_MS)
      return new Failure("away", message, REVOKED_PAUSE_MS);
    const willPass = !isOurs || status > 499 || status === 429;
    const kind = willPass ? "away" : (KINDS[status] ?? "invalid");
    return new Failure(kind, message, Number(headers.get("retry-after")) * 1000 || 0);
  }

  return {
    ask,
    renewToken,
    /** Null before the first answer. */
    recipient: () => recipient,

    async json<Answer>(
      path: string,
      { signal = AbortSignal.timeout(NO_ANSWER_MS), ...init }: Partial<Init> = {},
    ): Promise<Answer> {
      try {
        const answer = await (await ask(path, { ...init, signal })).json();
        // An answer that came just before the abort is not wanted either.
        signal.throwIfAborted();
        return answer;
      } catch (cause) {
        throw cause instanceof Failure ? cause : new Failure("away", `${cause}`);
      }
    },
  };
}

export interface ApiOptions {
  /** The base of the service's routes, for example `/api/notifications`. */
  url: string;
  /** Resolves to a token for the `Authorization` header. Without it, requests carry the page's cookies. */
  getToken?: (() => Promise<string>) | undefined;
}

/**
 * Why a request got no answer of the service. `unauthorized`: a new token did not help. `forbidden`: the origin or the recipient may not. `invalid`: the
 * service does not accept it, as with a cursor from before a restore. `away`: anything that will pass: no network, a proxy's page, a restart.
 */
export type FailureKind = "unauthorized" | "forbidden" | "invalid" | "away";

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

export type Api = ReturnType<typeof createApi>;

/** The requests of the service. Each throws a `Failure`, or the reason of its signal. */
export function createApi({ url, getToken }: ApiOptions) {
  let token: Promise<string> | undefined;

  /** The next request asks for a new token. False if there are only cookies. */
  function renewToken(): boolean {
    token = undefined;
    return getToken !== undefined;
  }

  async function bearer(): Promise<string> {
    token ??= getToken?.();
    try {
      return `Bearer ${await token}`;
    } catch (cause) {
      renewToken();
      throw new Failure("away", `no token: ${cause}`);
    }
  }

  async function send(path: string, { headers, ...init }: RequestInit): Promise<Response> {
    const authorization = getToken && { authorization: await bearer() };
    try {
      return await fetch(url + path, {
        ...init,
        headers: { ...headers, ...authorization },
        credentials: getToken ? "omit" : "include",
      });
    } catch (cause) {
      init.signal?.throwIfAborted();
      throw new Failure("away", `no connection: ${cause}`);
    }
  }

  /** A response with this content type. A proxy's page has another one, also with status 200. */
  async function ask(path: string, init: RequestInit, type: string): Promise<Response> {
    let response = await send(path, init);
    if (response.status === 401 && getToken) {
      renewToken();
      response = await send(path, init);
    }
    if (response.ok && response.headers.get("content-type")?.startsWith(type)) return response;
    throw await failureOf(response);
  }

  return {
    renewToken,

    async stream(cursor: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
      const response = await ask(`/stream?lastEventId=${cursor}`, { signal }, "text/event-stream");
      if (!response.body) throw new Failure("away", "no body");
      return response.body;
    },

    async get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
      const response = await ask(path, signal ? { signal } : {}, JSON_TYPE);
      const answer = await response.json();
      // An answer that came just before the abort is not wanted either.
      signal?.throwIfAborted();
      return answer;
    },

    async write<Answer>(method: string, path: string, body: unknown): Promise<Answer> {
      const headers = { "content-type": JSON_TYPE };
      const response = await ask(path, { method, headers, body: JSON.stringify(body) }, JSON_TYPE);
      return await response.json();
    },
  };
}

const JSON_TYPE = "application/json";

async function failureOf(response: Response): Promise<Failure> {
  const { status, headers } = response;
  const isOurs = headers.get("content-type")?.startsWith("application/problem+json");
  const message = `${status} ${isOurs ? (await response.json()).code : "(not from Bellwire)"}`;
  const retryMs = Number(headers.get("retry-after")) * 1000 || 0;
  if (status === 401) return new Failure("unauthorized", message);
  if (isOurs && status === 403) return new Failure("forbidden", message);
  if (isOurs && status < 500 && status !== 429) return new Failure("invalid", message);
  return new Failure("away", message, retryMs);
}

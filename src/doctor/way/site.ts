import { DOCTOR_HEADER } from "../../http/hop.ts";
import { type Answer, ask, type Failure, isFailure, type RequestOptions } from "./request.ts";
import { type EventStream, openStream } from "./stream.ts";

const BASE = "/api/notifications";

/** What a browser sends, and proxies and the service look at. */
const BROWSER = {
  "User-Agent": "Mozilla/5.0 (compatible; bellwire doctor)",
  "Accept-Encoding": "gzip, deflate, br",
  "Accept-Language": "en",
  "Sec-Fetch-Mode": "cors",
};

type Headers = Readonly<Record<string, string>>;

export type Site = ReturnType<typeof createSite>;

export interface SiteOptions {
  /** The site, or its path to the API. */
  url: string;
  token: string;
  /** Letters and digits by which the service's status shows our requests. */
  marker: string;
}

/**
 * The way to the service, as a browser takes it. Every request goes to the host of the URL, so the token goes nowhere else.
 * Throws a TypeError if the URL is not of HTTP.
 */
export function createSite({ url, token, marker }: SiteOptions) {
  const api = apiOf(url);
  const versions = new Set<string>();
  const authorization = { Authorization: `Bearer ${token}` };
  const marked = { [DOCTOR_HEADER]: marker };

  function toUrl(path: string): URL {
    return new URL(api.href + path);
  }
  function noteVersion<T extends Answer | Failure>(answer: T): T {
    const version = isFailure(answer) ? undefined : answer.headers["x-service-version"];
    if (typeof version === "string") versions.add(version);
    return answer;
  }

  return {
    api,
    isLoopback: isLoopback(api.hostname),
    /** Of the service that answered, by its header. */
    versions: versions as ReadonlySet<string>,

    /** As the recipient. */
    async ask(path: string, { headers, ...rest }: RequestOptions = {}, limitMs?: number) {
      const all = { ...marked, ...authorization, ...headers };
      return noteVersion(await ask(toUrl(path), { ...rest, headers: all }, limitMs));
    },

    /** Without a token. */
    async askAsNobody(path: string, { headers, ...rest }: RequestOptions = {}) {
      return noteVersion(await ask(toUrl(path), { ...rest, headers: { ...marked, ...headers } }));
    },

    /** A path beside the API, without a token. */
    async askRoot(path: string) {
      return noteVersion(await ask(new URL(rootOf(api) + path), { headers: marked }));
    },

    /** The recipient's stream, as a browser or as another client asks for it. */
    open(as: "browser" | "program", headers: Headers = {}): EventStream {
      const own = as === "browser" ? BROWSER : {};
      const accept = { Accept: "text/event-stream" };
      return openStream(toUrl("/stream"), {
        headers: { ...marked, ...authorization, ...accept, ...own, ...headers },
      });
    },
  };
}

function apiOf(text: string): URL {
  const url = new URL(text);
  if (!/^https?:$/.test(url.protocol)) throw new TypeError(`not a URL of HTTP: ${text}`);
  const path = url.pathname.replace(/\/+(stream\/*)?$/, "");
  return new URL(url.origin + (path || BASE));
}

/** Where `/readyz` and others are. */
const rootOf = ({ href }: URL): string =>
  href.endsWith(BASE) ? href.slice(0, -BASE.length) : new URL(href).origin;

const isLoopback = (hostname: string): boolean =>
  /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);

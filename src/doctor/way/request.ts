import {
  Agent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as overHttp,
} from "node:http";
import { request as overTls, Agent as TlsAgent } from "node:https";

/** The head of a response, as it arrived. */
export interface Head {
  status: number;
  headers: IncomingHttpHeaders;
  /** Names and values in turn, in the case and number in which they came. */
  rawHeaders: string[];
  httpVersion: string;
  /** By this machine's clock. */
  receivedAt: Date;
}

export interface Answer extends Head {
  body: string;
}

/** There was no response, or not to its end. `code` is Node's: ENOTFOUND, CERT_HAS_EXPIRED and so on, or TIMEOUT. */
export interface Failure {
  code: string;
  message: string;
}

export interface RequestOptions {
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
}

/** Proxies wait up to 10 s for a service that restarts, before they answer themselves. */
const LIMIT_MS = 12_000;
const MAX_BODY = 65_536;

export const isFailure = (answer: object): answer is Failure => "code" in answer;

/**
 * Sends one request over a connection of its own, so that each may reach another instance behind a balancer. A redirect is an answer like
 * any other: what the request carries goes to no other host.
 */
export function send(
  url: URL,
  { method = "GET", headers = {}, body }: RequestOptions,
  onResponse: (response: IncomingMessage) => void,
  onFailure: (failure: Failure) => void,
): { close(): void } {
  const isTls = url.protocol === "https:";
  const agent = isTls ? new TlsAgent({ keepAlive: true }) : new Agent({ keepAlive: true });
  const all = body === undefined ? headers : { ...headers, "Content-Type": "application/json" };
  const options = { method, headers: all, agent };
  const sent = isTls ? overTls(url, options, onResponse) : overHttp(url, options, onResponse);
  sent.on("error", (err) => onFailure(describe(err)));
  sent.end(body);
  return {
    close() {
      sent.destroy();
      agent.destroy();
    },
  };
}

/** The whole response, or what came instead. */
export function ask(
  url: URL,
  options: RequestOptions = {},
  limitMs = LIMIT_MS,
): Promise<Answer | Failure> {
  return new Promise((resolve) => {
    const sent = send(url, options, collect, settle);
    const timer = setTimeout(
      () => settle({ code: "TIMEOUT", message: `no response within ${limitMs / 1000} s` }),
      limitMs,
    );
    function settle(answer: Answer | Failure) {
      clearTimeout(timer);
      sent.close();
      resolve(answer);
    }
    function collect(response: IncomingMessage) {
      const head = headOf(response);
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        body += chunk;
        if (body.length > MAX_BODY) settle({ ...head, body });
      });
      response.on("end", () => settle({ ...head, body }));
      response.on("error", (err) => settle(describe(err)));
    }
  });
}

export const headOf = (response: IncomingMessage): Head => ({
  status: response.statusCode ?? 0,
  headers: response.headers,
  rawHeaders: response.rawHeaders,
  httpVersion: response.httpVersion,
  receivedAt: new Date(),
});

/** Node tries all addresses of a name, and wraps what each said. */
export function describe(err: NodeJS.ErrnoException | AggregateError): Failure {
  const [first = err] = "errors" in err ? err.errors : [];
  return { code: first.code ?? "UNKNOWN", message: first.message };
}

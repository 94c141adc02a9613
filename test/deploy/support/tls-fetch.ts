import { connect } from "node:http2";
import { request } from "node:https";
import { Readable } from "node:stream";

/** As much of `fetch` as an EventSource needs, with a certificate of one's own and over a protocol of choice. */
export type Fetch = (
  url: string | URL,
  init?: { headers?: Record<string, string>; signal?: AbortSignal },
) => Promise<Response>;

export const overHttp1 =
  (ca: string): Fetch =>
  (url, { headers = {}, signal } = {}) =>
    new Promise((resolve, reject) => {
      const options = { ca, headers, agent: false, ALPNProtocols: ["http/1.1"], signal };
      const sent = request(url, options as Parameters<typeof request>[1], (response) => {
        response.on("error", () => {}); // the body's reader has it
        resolve(toResponse(response, response.statusCode ?? 0, response.headers, String(url)));
      });
      sent.on("error", reject).end();
    });

export const overHttp2 =
  (ca: string): Fetch =>
  (url, { headers = {}, signal } = {}) =>
    new Promise((resolve, reject) => {
      const { origin, pathname, search } = new URL(url);
      const session = connect(origin, { ca });
      session.on("error", reject);
      const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
      const stream = session.request({ ":path": pathname + search, ...Object.fromEntries(lower) });
      signal?.addEventListener("abort", () => session.destroy());
      stream.on("error", reject).on("close", () => session.close());
      stream.on("response", (got) => {
        const plain = Object.entries(got).filter(([name]) => !name.startsWith(":"));
        resolve(toResponse(stream, Number(got[":status"]), Object.fromEntries(plain), String(url)));
      });
      stream.end();
    });

function toResponse(body: Readable, status: number, headers: object, url: string): Response {
  const entries = Object.entries(headers).map(([name, value]) => [name, String(value)]);
  const response = new Response(Readable.toWeb(body) as ReadableStream, {
    status,
    headers: Object.fromEntries(entries),
  });
  return Object.defineProperty(response, "url", { value: url });
}

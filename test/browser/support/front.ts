import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestOptions, request } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A request of a browser to the API, as it was sent, and the status of the response when there is one. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  status: number | undefined;
}

/** A page of the application. */
export interface ServedPage {
  headers?: Record<string, string>;
  body: string;
}

/**
 * One server on one port for all hosts, so that each host is an origin. On every host `/page.html` is a page with nothing but
 * this module. All else is passed on to the service, as by a reverse proxy that does not change `Host`. Closed when the test ends.
 */
export async function startFront(module = "") {
  let target = "";
  const asked: Asked[] = [];
  const pages = new Map([
    [
      "/page.html",
      { body: `<!doctype html><title>Page</title><script type="module">${module}</script>` },
    ],
  ]) as Map<string, ServedPage>;

  const server = createServer((req, res) => {
    const { method = "", url: path = "", headers } = req;
    const page = pages.get(path.replace(/\?.*/, ""));
    if (page) {
      res.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...page.headers });
      return void res.end(page.body);
    }
    const entry: Asked = { method, path, headers, status: undefined };
    if (path.startsWith("/api/")) asked.push(entry);
    const options: RequestOptions = { method, headers, agent: false };
    const upstream = request(target + path, options, (answer) => {
      entry.status = answer.statusCode;
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(res);
    });
    upstream.on("error", () => res.destroy());
    res.on("close", () => upstream.destroy());
    req.pipe(upstream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;

  return {
    origin: (host: string) => `http://${host}:${port}`,
    pointTo(url: string) {
      target = url;
    },
    /** Serves a page on every host, at a path instead of the service's. */
    serve(path: string, page: ServedPage) {
      pages.set(path, page);
    },
    /** In the order of arrival, including preflights. */
    asked,
    /** Cuts every connection, whatever it is carrying. */
    cut: () => server.closeAllConnections(),
  };
}

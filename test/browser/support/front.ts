import type { IncomingHttpHeaders } from "node:http";
import { handOver, passOn, startServer } from "./reverse-proxy.ts";

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

  const { port, cut } = await startServer((req, res) => {
    const { method = "", url: path = "", headers } = req;
    const page = pages.get(path.replace(/\?.*/, ""));
    if (page) {
      res.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...page.headers });
      return void res.end(page.body);
    }
    const entry: Asked = { method, path, headers, status: undefined };
    if (path.startsWith("/api/")) asked.push(entry);
    passOn(req, res, target, (answer) => {
      entry.status = answer.statusCode;
      handOver(answer, res);
    });
  });

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
    cut,
  };
}

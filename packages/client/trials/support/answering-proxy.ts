import { passOn, startServer } from "../../../../test/browser/support/reverse-proxy.ts";

/** What a proxy answers instead of the service. A body is an HTML page. */
export interface Answer {
  status: number;
  headers?: Record<string, string>;
}

const PAGE = "<!doctype html><title>Not the service</title>";

/** A proxy on one port for all hosts, so that each host is an origin. It has a page, `/page.html`, and a login page on each. */
export async function startAnsweringProxy(target: string, files: Record<string, string> = {}) {
  const answers = new Map<string, Answer>();
  const { port, cut } = await startServer((req, res) => {
    const { url: path = "/", headers } = req;
    const answer = answers.get(headers.host?.replace(/:\d+$/, "") ?? "");
    const script = files[path];
    if (script !== undefined)
      return void res.setHeader("content-type", "text/javascript").end(script);
    if (path.startsWith("/page.html") || path.startsWith("/login"))
      return void res.setHeader("content-type", "text/html").end(PAGE);
    if (answer)
      return void res
        .writeHead(answer.status, { "content-type": "text/html", ...answer.headers })
        .end(PAGE);
    passOn(req, res, target);
  });
  return {
    origin: (host: string) => `http://${host}:${port}`,
    /** Every request to this host's API gets this. */
    answer: (host: string, answer: Answer) => void answers.set(host, answer),
    /** The API is the service's again, on all hosts. */
    mend: () => answers.clear(),
    cut,
  };
}

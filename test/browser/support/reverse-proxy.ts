import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** An HTTP server on a free port. Closed when the test ends. */
export async function startServer(listener: RequestListener) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close().closeAllConnections());
  return {
    port: (server.address() as AddressInfo).port,
    /** Cuts every connection, whatever it is carrying. */
    cut: () => server.closeAllConnections(),
  };
}

/** Passes a request on to `target`, as a reverse proxy that does not change `Host`. Its answer goes to the client, or to `onAnswer`. */
export function passOn(
  req: IncomingMessage,
  res: ServerResponse,
  target: string,
  onAnswer: (answer: IncomingMessage) => void = (answer) => handOver(answer, res),
): void {
  const { method, url = "", headers } = req;
  const upstream = request(target + url, { method, headers, agent: false }, onAnswer);
  upstream.on("error", () => res.destroy());
  res.on("close", () => upstream.destroy());
  req.pipe(upstream);
}

export function handOver(answer: IncomingMessage, res: ServerResponse): void {
  res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  answer.pipe(res);
}

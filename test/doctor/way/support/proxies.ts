import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { onTestFinished } from "vitest";
import { passOn, startServer } from "../../../browser/support/reverse-proxy.ts";

export const isStream = ({ url = "" }: IncomingMessage) => url.includes("/stream");

/** A proxy that passes everything on, except for the bodies of streams. */
export async function startProxy(
  { url }: { url: string },
  onStream: (answer: IncomingMessage, res: ServerResponse) => void,
) {
  const { port } = await startServer((req, res) =>
    passOn(req, res, url, isStream(req) ? (answer) => onStream(answer, res) : undefined),
  );
  return `http://127.0.0.1:${port}`;
}

/** Passes bytes on, and calls the response's version 1.0, with a connection that ends it. */
export async function startOldProxy(target: string): Promise<string> {
  const server = createServer((client) => {
    const upstream = connect(Number(new URL(target).port), "127.0.0.1");
    client.pipe(upstream);
    upstream.once("data", (first) =>
      client.write(
        first
          .toString("latin1")
          .replace("HTTP/1.1", "HTTP/1.0")
          .replace(/Transfer-E.*\r\n/i, ""),
        "latin1",
        () => upstream.pipe(client),
      ),
    );
    for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Event streams with Node's HTTP server. */
import { createServer, type ServerResponse } from "node:http";
import { listenAndTell } from "./listening.ts";

const streams = new Set<ServerResponse>();

const server = createServer((_req, res) => {
  res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  res.write("event: ready\ndata: {}\n\n");
  res.on("close", () => streams.delete(res));
  streams.add(res);
});
listenAndTell(server);

/** The minimum that a stream costs Node: a socket that is answered and kept open. */
import { createServer, type Socket } from "node:net";
import { listenAndTell } from "./listening.ts";

const HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\nevent: ready\ndata: {}\n\n";

const sockets = new Set<Socket>();

const server = createServer((socket) => {
  socket.once("data", () => socket.write(HEAD));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => sockets.delete(socket));
  sockets.add(socket);
});
listenAndTell(server);

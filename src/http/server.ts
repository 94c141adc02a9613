import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createAcceptQueue } from "./accept-queue.ts";
import { LentSocket } from "./lent-socket.ts";
import { answerMalformedRequests } from "./malformed-request.ts";

export interface HttpServer {
  /** `http://host:port` */
  readonly address: string;
  /** Accepts no new connections; open ones continue. */
  stopAccepting(): void;
  /** Waits at most a second for responses in progress, then cuts the rest. */
  close(): Promise<void>;
}

export interface ListenOptions {
  host: string;
  port: number;
  /** The variable to change if the port is taken. */
  portVariable: string;
  version: string;
}

const LIMITS = {
  // Proxies keep idle connections for 60 s. If ours closed earlier, a proxy could send a request into a closing connection.
  keepAliveTimeout: 75_000,
  // Time limits for receiving a request, so that a client that sends one byte per second cannot hold a connection. They do
  // not limit the response.
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 2000,
  /** Bytes of the request line and headers. */
  maxHeaderSize: 16_384,
  // The app checks it, and replies with a problem.
  requireHostHeader: false,
};

/** Rejects with advice if the port cannot be used. */
export async function startHttpServer(
  handler: RequestListener,
  { host, port, portVariable, version }: ListenOptions,
): Promise<HttpServer> {
  const server = createServer(LIMITS, handler);
  const connections = lendSockets(server);
  answerMalformedRequests(server, version);
  // An unknown expectation is ignored; Node would reply 417.
  server.on("checkExpectation", (req, res) => server.emit("request", req, res));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(new Error(explain(cause, host, port, portVariable), { cause }));
    });
    // After a restart all clients reconnect at once. Node's default backlog of 511 would make the others wait for seconds.
    server.listen({ port, host, backlog: 4096 }, resolve);
  });
  const closed = new Promise<void>((resolve) => {
    server.once("close", resolve);
  });
  return {
    address: addressOf(server, host),
    stopAccepting: () => void server.close(),
    async close() {
      server.close();
      server.closeIdleConnections();
      connections.cutUnused();
      const cut = setTimeout(connections.cutAll, 1000);
      await closed;
      clearTimeout(cut);
    },
  };
}

/** Gives the server each connection as a LentSocket, so that a stream can take it. The server no longer counts a taken one. */
function lendSockets(server: Server) {
  const sockets = new Set<Socket>();
  function forget(this: Socket) {
    sockets.delete(this);
  }
  const [serve] = server.listeners("connection");
  server.removeAllListeners("connection");
  const serveInTurn = createAcceptQueue((socket) => serve?.call(server, new LentSocket(socket)));
  server.on("connection", (socket) => {
    sockets.add(socket.on("close", forget));
    serveInTurn(socket);
  });
  return {
    /** Cuts connections on which no request came yet. Browsers open them in advance, and Node does not count them as idle. */
    cutUnused() {
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
    },
    cutAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function explain(
  { code, message }: NodeJS.ErrnoException,
  host: string,
  port: number,
  variable: string,
) {
  const where = `port ${port} on ${host}`;
  if (code === "EADDRINUSE")
    return `Another process already uses ${where}. Stop it, or set ${variable}.`;
  if (code === "EACCES")
    return `This user may not use ${where}. Set ${variable} to a port above 1023.`;
  return `Cannot listen on ${where}: ${message}`;
}

function addressOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  const name = host === "0.0.0.0" || host === "127.0.0.1" ? "localhost" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

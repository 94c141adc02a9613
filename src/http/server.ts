import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { answerBrokenRequests } from "./broken-request.ts";
import { LentSocket } from "./lent-socket.ts";

export interface HttpServer {
  /** `http://host:port` */
  readonly address: string;
  /** Takes no new connections; those that are open go on. */
  stopAccepting(): void;
  /** Waits a second at most for answers that are being given, then cuts what is left. */
  close(): Promise<void>;
}

export interface ListenOptions {
  host: string;
  port: number;
  /** The variable to change where the port is taken. */
  portVariable: string;
  version: string;
}

const LIMITS = {
  // Longer than the 60 s for which proxies keep idle connections: else they send a request into a closing one.
  keepAliveTimeout: 75_000,
  // For a request to come in, headers first: who sends a byte a second holds a connection no longer than this. An
  // answer may take as long as it likes.
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 2000,
  /** Bytes of the request line and headers. */
  maxHeaderSize: 16_384,
  // The app does, with a problem.
  requireHostHeader: false,
};

/** Rejects with what to do where the port cannot be had. */
export async function startHttpServer(
  handler: RequestListener,
  { host, port, portVariable, version }: ListenOptions,
): Promise<HttpServer> {
  const server = createServer(LIMITS, handler);
  const connections = lendSockets(server);
  answerBrokenRequests(server, version);
  // An expectation that nobody knows is none; Node would answer 417 by itself.
  server.on("checkExpectation", (req, res) => server.emit("request", req, res));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(new Error(explain(cause, host, port, portVariable), { cause }));
    });
    // Everybody comes back at once after a restart, and who finds Node's 511 places taken tries again only seconds later.
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

/** Lends the server each connection, so that a stream can take it. Of those that were taken the server knows nothing. */
function lendSockets(server: Server) {
  const sockets = new Set<Socket>();
  function forget(this: Socket) {
    sockets.delete(this);
  }
  const [serve] = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket) => {
    sockets.add(socket.on("close", forget));
    serve?.call(server, new LentSocket(socket));
  });
  return {
    /** Those that browsers and HTTP clients open ahead of a request: Node does not count them as idle. */
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
  if (code === "EADDRINUSE") return `Somebody already uses ${where}. Stop it, or set ${variable}.`;
  if (code === "EACCES")
    return `This user may not use ${where}. Set ${variable} to one above 1023.`;
  return `Cannot listen on ${where}: ${message}`;
}

function addressOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  const name = host === "0.0.0.0" || host === "127.0.0.1" ? "localhost" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

import type { Server } from "node:net";

/** Makes a server listen, on a free port unless one is given, and sends its address to the parent process. */
export function listenAndTell(server: Server, port = 0): void {
  server.listen(port, "127.0.0.1", () => {
    const address = server.address();
    if (typeof address === "object" && address) process.send?.(`http://127.0.0.1:${address.port}`);
  });
}

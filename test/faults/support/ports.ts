import { createServer } from "node:net";

/**
 * A free port below those that Linux gives to outgoing connections (32768 and up). So a server that restarts finds its
 * port free, and a client that tries meanwhile cannot connect to itself.
 */
export async function findPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

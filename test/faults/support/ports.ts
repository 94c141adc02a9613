import { createServer } from "node:net";

/**
 * A port that nobody uses, below those that Linux gives to outgoing connections (32768 and up): what is stopped and
 * started again must find its port free, and a client that knocks meanwhile must not connect to itself.
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

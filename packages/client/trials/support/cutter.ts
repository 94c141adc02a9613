import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { Random } from "../../../../test/support/random.ts";

/** A TCP proxy that cuts each connection after a random number of the service's bytes, half of them with a reset. */
export async function startCutter(targetPort: number, maxBytes: number, random: Random) {
  let cuts = 0;
  let isCutting = true;
  const server = createServer({ noDelay: true }, (client) => {
    const service = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
    let left = random.between(1, maxBytes);
    const end = (socket: Socket) =>
      random.chance(0.5) ? socket.resetAndDestroy() : socket.destroySoon();
    service.on("data", (chunk) => {
      if (client.destroyed) return;
      client.write(isCutting ? chunk.subarray(0, left) : chunk);
      left -= chunk.length;
      if (!isCutting || left > 0) return;
      cuts++;
      service.destroy();
      // The bytes before a reset would be dropped at once.
      setTimeout(end, 5, client);
    });
    client.on("data", (chunk) => service.write(chunk));
    for (const [from, to] of [
      [client, service],
      [service, client],
    ] as const)
      from.on("error", () => {}).on("end", () => to.end());
    client.on("close", () => service.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return {
    port: (server.address() as AddressInfo).port,
    cuts: () => cuts,
    /** New bytes pass. */
    mend() {
      isCutting = false;
    },
  };
}

import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { closeAfterTest } from "./close-after-test.ts";

export type Forwarder = Awaited<ReturnType<typeof startForwarder>>;

/**
 * A TCP proxy on 127.0.0.1 that behaves like a bad network on demand. `delayMs` is asked for each new connection: the
 * delay of all answers on it.
 */
export async function startForwarder(
  targetPort: number,
  { delayMs = () => 0 }: { delayMs?: () => number } = {},
) {
  let target = targetPort;
  let isSwallowing = false;
  let isRefusing = false;
  /** Each open socket, and the one on the other side. */
  const peers = new Map<Socket, Socket>();

  function pass(from: Socket, to: Socket, afterMs: number) {
    // Timers of the same length fire in order, so the bytes stay in order.
    const later =
      afterMs > 0 ? (act: () => void) => setTimeout(act, afterMs) : (act: () => void) => act();
    peers.set(from, to);
    if (isSwallowing) from.pause();
    from.on("data", (chunk) => later(() => write(chunk)));
    from.on("end", () => later(() => to.end()));
    from.on("error", () => {}); // "close" follows
    from.on("close", () => {
      if (isSwallowing) return; // `heal` closes the other side
      peers.delete(from);
      later(() => to.destroy());
    });

    function write(chunk: Buffer) {
      if (to.destroyed || to.write(chunk)) return;
      from.pause();
      to.once("drain", () => {
        if (!isSwallowing) from.resume();
      });
    }
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (isRefusing) return void client.on("error", () => {}).resetAndDestroy();
    const upstream = connect({ port: target, host: "127.0.0.1", allowHalfOpen: true });
    upstream.setNoDelay();
    pass(client, upstream, 0);
    pass(upstream, client, delayMs());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  function cutAll() {
    for (const socket of peers.keys()) socket.destroy();
  }

  async function close(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    cutAll();
    await closed;
  }
  closeAfterTest(close);

  return {
    port: (server.address() as AddressInfo).port,
    /** New connections lead to this port. Open ones stay. */
    pointTo(port: number) {
      target = port;
    },
    /** Passes on nothing in either direction, not even an end or a reset: connections are half-open. */
    swallow() {
      isSwallowing = true;
      for (const socket of peers.keys()) socket.pause();
    },
    /** Passes on again, first what has waited, like TCP when the network is back. */
    heal() {
      isSwallowing = false;
      for (const [socket, peer] of peers) {
        if (!socket.destroyed) socket.resume();
        else {
          peers.delete(socket);
          peer.destroy();
        }
      }
    },
    /** Closes new connections at once. Open ones stay. */
    refuse() {
      isRefusing = true;
    },
    accept() {
      isRefusing = false;
    },
    cutAll,
    close,
  };
}

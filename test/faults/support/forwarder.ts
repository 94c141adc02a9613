import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { closeAfterTest } from "./close-after-test.ts";

export type Forwarder = Awaited<ReturnType<typeof startForwarder>>;

/**
 * A TCP proxy on 127.0.0.1 that can do to connections what networks do. `delayMs` is asked for each new connection:
 * how much later than they came its answers are passed on.
 */
export async function startForwarder(
  targetPort: number,
  { delayMs = () => 0 }: { delayMs?: () => number } = {},
) {
  let target = targetPort;
  let isSwallowing = false;
  let isRefusing = false;
  /** Each open socket and the one at the other side. */
  const peers = new Map<Socket, Socket>();

  function pass(from: Socket, to: Socket, afterMs: number) {
    // Timers of one length fire in the order they were set, so the bytes keep theirs.
    const later =
      afterMs > 0 ? (act: () => void) => setTimeout(act, afterMs) : (act: () => void) => act();
    peers.set(from, to);
    if (isSwallowing) from.pause();
    from.on("data", (chunk) => later(() => write(chunk)));
    from.on("end", () => later(() => to.end()));
    from.on("error", () => {}); // "close" follows
    from.on("close", () => {
      if (isSwallowing) return; // the other side hears of it when healed
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
    /** New connections lead there; those that are open stay. */
    pointTo(port: number) {
      target = port;
    },
    /** Passes on nothing in either direction, ends and resets neither, and closes nothing: half-open. */
    swallow() {
      isSwallowing = true;
      for (const socket of peers.keys()) socket.pause();
    },
    /** Passes on again, what waited first: as TCP does when a network is back. */
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
    /** Closes new connections at once; those that are open stay. */
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

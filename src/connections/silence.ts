import type { Connection } from "./connection.ts";
import { readSilentPeers } from "./silent-peers.ts";

/** Reading the kernel's table of ten thousand connections costs some 50 ms of CPU, most of it the kernel's. */
const CHECK_MS = 5000;

/** Since when a peer has acknowledged nothing, and how often the kernel had sent that again by the last look. */
interface Silence {
  readonly since: number;
  readonly resends: number;
}

/**
 * Closes the connections whose peers have acknowledged nothing for `stalledMs`, though something was sent: the client has vanished,
 * or its network has. Looks every five seconds, and when the first silent peer has been silent for so long.
 */
export function watchSilence(connections: () => Iterable<Connection>, stalledMs: number) {
  let silent = new Map<Connection, Silence>();
  let isClosed = false;

  async function check(): Promise<void> {
    const peers = await readSilentPeers();
    const now = performance.now();
    const known = silent;
    silent = new Map();
    let nextMs = CHECK_MS;
    for (const connection of peers.size === 0 ? [] : connections()) {
      const { remoteAddress, remotePort } = connection.socket;
      const resends = peers.get(`${remoteAddress}|${remotePort}`);
      if (resends === undefined) continue;
      const before = known.get(connection);
      // The kernel counts anew after every acknowledgement, so fewer resends are those of a later packet.
      const since = before && resends >= before.resends ? before.since : now;
      const leftMs = since + stalledMs - now;
      if (leftMs <= 0) connection.close("vanished");
      else {
        silent.set(connection, { since, resends });
        nextMs = Math.min(nextMs, leftMs);
      }
    }
    if (!isClosed) timer = setTimeout(check, nextMs);
  }

  let timer = setTimeout(check, CHECK_MS);

  return {
    close(): void {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

import type { Connection } from "./connection.ts";
import { readSilentPeers } from "./silent-peers.ts";

/** To read the kernel's table of ten thousand connections takes about 50 ms of CPU, most of it in the kernel. */
const CHECK_MS = 5000;

/** Since when a peer has acknowledged nothing, and how many times the kernel had retransmitted by the last check. */
interface Silence {
  readonly since: number;
  readonly resends: number;
}

/**
 * Closes connections whose peers have acknowledged nothing for `stalledMs` although data was sent: the client or its network has
 * vanished. It checks every five seconds, and at the moment when the first silent peer reaches `stalledMs`.
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
      // The kernel resets its count at every acknowledgement. So a lower count belongs to a later packet, and the silence starts again.
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

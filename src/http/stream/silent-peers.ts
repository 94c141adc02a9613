import { readFile } from "node:fs/promises";
import { SocketAddress } from "node:net";

/**
 * Who has acknowledged nothing since we began to send again, and how often we have: by `address|port`, as Node writes a
 * socket's peer.
 *
 * A client that vanishes (a phone in a tunnel, a pulled cable) closes nothing. What is written to it waits in the
 * kernel, which gives up after 15 minutes, and Node has no TCP_USER_TIMEOUT to shorten that. But Linux
 * tells how often it has sent again. Elsewhere nobody is ever silent, and the kernel's time holds.
 * https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
 */
export async function readSilentPeers(): Promise<ReadonlyMap<string, number>> {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "latin1").catch(() => "")),
  );
  return parseSilentPeers(tables.join("\n"));
}

/** State 01 (established), queues, timer, and retransmissions that are not 0; the peer stands before it. */
const SILENT = / 01 [\dA-F]{8}:[\dA-F]{8} \d\d:[\dA-F]{8} (?!00000000)([\dA-F]{8})/g;
const PEER = /^((?:[\dA-F]{8}){1,4}):([\dA-F]{4})$/;

export function parseSilentPeers(table: string): ReadonlyMap<string, number> {
  const peers = new Map<string, number>();
  for (const match of table.matchAll(SILENT)) {
    const start = table.lastIndexOf(" ", match.index - 1) + 1;
    const [, address = "", port = ""] = PEER.exec(table.slice(start, match.index)) ?? [];
    if (address.length === 8 || address.length === 32)
      peers.set(
        `${decodeAddress(address)}|${Number.parseInt(port, 16)}`,
        Number.parseInt(match[1] ?? "", 16),
      );
  }
  return peers;
}

/** Each four bytes in the machine's order: on every machine Node runs on with Linux, but s390x, the reverse. */
function decodeAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = Buffer.concat(words.map((word) => Buffer.from(word, "hex").reverse()));
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

import { open } from "node:fs/promises";
import { SocketAddress } from "node:net";

/**
 * The TCP peers that have not acknowledged what was sent, as `address|port` in Node's notation, with the number of
 * retransmissions.
 *
 * A client that vanishes (a phone in a tunnel, a pulled cable) closes nothing. Data that is written to it waits in the kernel,
 * which gives up after 15 minutes. Node cannot set TCP_USER_TIMEOUT to shorten that. But Linux shows how many times it has
 * retransmitted. On other systems the result is empty, and the kernel's own limit applies.
 * https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
 */
export async function readSilentPeers(): Promise<ReadonlyMap<string, number>> {
  const peers = new Map<string, number>();
  for (const path of ["/proc/net/tcp", "/proc/net/tcp6"])
    for await (const lines of readLines(path)) findSilentPeers(lines, peers);
  return peers;
}

/** Reads whole lines, 64 KB at a time into one buffer: for ten thousand connections the file has megabytes. */
async function* readLines(path: string): AsyncGenerator<Buffer> {
  const file = await open(path).catch(() => undefined);
  if (!file) return;
  const bytes = Buffer.allocUnsafe(65_536);
  try {
    for (let held = 0, read = -1; read !== 0; ) {
      ({ bytesRead: read } = await file.read(bytes, held, bytes.length - held));
      const end = held + read;
      const length = bytes.subarray(0, end).lastIndexOf("\n") + 1;
      yield bytes.subarray(0, length);
      held = bytes.copy(bytes, 0, length, end);
    }
  } catch {
    // Peers on lines that cannot be read count as not silent.
  } finally {
    await file.close();
  }
}

/** A line with state 01 (established) and retransmissions that are not 0: peer, state, queues, timer, retransmissions. */
const SILENT =
  /^ *\d+: [\dA-F]+:[\dA-F]{4} ((?:[\dA-F]{8}){1,4}):([\dA-F]{4}) 01 [\dA-F]{8}:[\dA-F]{8} \d\d:[\dA-F]{8} (?!00000000)([\dA-F]{8})/;

const NONE = Buffer.from(" 00000000 ");
/** The distance from the end of the peer to the retransmissions: state, queues, timer. */
const TO_RETRANSMISSIONS = " 01 00000000:00000000 00:00000000".length;

/** Adds the silent peers of these lines. Few lines have one, and only those are decoded to a string. */
export function findSilentPeers(lines: Buffer, peers: Map<string, number>): void {
  for (let start = 0, end = 0; start < lines.length; start = end) {
    end = lines.indexOf("\n", start) + 1 || lines.length;
    const local = lines.indexOf(": ", start) + 2;
    const peer = lines.indexOf(" ", local) + 1;
    const at = peer + (peer - 1 - local) + TO_RETRANSMISSIONS;
    const behind = at + NONE.length;
    if (behind <= end && NONE.compare(lines, at, behind) === 0) continue;
    const found = SILENT.exec(lines.toString("latin1", start, end));
    if (!found) continue;
    const [, address = "", port = "", count = ""] = found;
    if (address.length === 8 || address.length === 32)
      peers.set(
        `${decodeAddress(address)}|${Number.parseInt(port, 16)}`,
        Number.parseInt(count, 16),
      );
  }
}

/** Each four bytes are in the machine's byte order: little-endian wherever Node runs on Linux, except on s390x. */
function decodeAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = Buffer.concat(words.map((word) => Buffer.from(word, "hex").reverse()));
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

import { open } from "node:fs/promises";
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
  const peers = new Map<string, number>();
  for (const path of ["/proc/net/tcp", "/proc/net/tcp6"])
    for await (const lines of readLines(path)) findSilentPeers(lines, peers);
  return peers;
}

/** Whole lines of a file, some at a time, in one piece of memory: of ten thousand connections there are megabytes. */
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
    // What cannot be read says nothing of anybody.
  } finally {
    await file.close();
  }
}

/** State 01 (established), queues, timer, and retransmissions that are not 0; the peer stands before it. */
const SILENT =
  /^ *\d+: [\dA-F]+:[\dA-F]{4} ((?:[\dA-F]{8}){1,4}):([\dA-F]{4}) 01 [\dA-F]{8}:[\dA-F]{8} \d\d:[\dA-F]{8} (?!00000000)([\dA-F]{8})/;

const NONE = Buffer.from(" 00000000 ");
/** From behind the peer to the retransmissions: state, queues, timer. */
const TO_RETRANSMISSIONS = " 01 00000000:00000000 00:00000000".length;

/** Adds those that a table's whole lines name. Nearly no line does, so nearly none becomes a string. */
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

/** Each four bytes in the machine's order: on every machine Node runs on with Linux, but s390x, the reverse. */
function decodeAddress(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = Buffer.concat(words.map((word) => Buffer.from(word, "hex").reverse()));
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}

import { expect, test } from "vitest";
import { findSilentPeers, readSilentPeers } from "../../src/connections/silent-peers.ts";

function parseSilentPeers(table: string) {
  const peers = new Map<string, number>();
  findSilentPeers(Buffer.from(table), peers);
  return peers;
}

const HEAD =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

test("a peer is silent if the kernel's table shows retransmissions to it", () => {
  const table = `${HEAD}
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0BB8 0100007F:D431 01 00000000:00000000 02:000004D2 00000000     0        0 2 2 0 20 4 30 10 -1
   2: 0201A8C0:0BB8 0C01A8C0:C350 01 00000123:00000000 01:0000009E 00000007     0        0 3 2 0 1600 4 30 1 7
   3: 0201A8C0:0BB8 0D01A8C0:C350 08 00000123:00000000 01:0000009E 00000007     0        0 4 2 0 1600 4 30 1 7
`;
  expect([...parseSilentPeers(table)]).toEqual([["192.168.1.12|50000", 7]]);
});

test("IPv6 addresses, and IPv4 addresses of an IPv6 socket, are written as Node writes them", () => {
  const table = `${HEAD}
   0: 00000000000000000000000001000000:0BB8 00000000000000000000000001000000:C351 01 00000005:00000000 01:00000019 00000002     0        0 5 2 0 800 4 0 10 -1
   1: 0000000000000000FFFF00000201A8C0:0BB8 0000000000000000FFFF00000C01A8C0:C352 01 00000005:00000000 01:00000019 00000001     0        0 6 2 0 800 4 0 10 -1
   2: B80D0120000000000000000002000000:0BB8 B80D0120000000000000000001000000:C353 01 00000005:00000000 01:00000019 00000001     0        0 7 2 0 800 4 0 10 -1
`;
  expect([...parseSilentPeers(table)]).toEqual([
    ["::1|50001", 2],
    ["::ffff:192.168.1.12|50002", 1],
    ["2001:db8::1|50003", 1],
  ]);
});

test("a malformed or truncated table has no silent peers", () => {
  for (const table of [
    "",
    "x",
    " 01 00000005:00000000 01:00000019 00000001",
    "0: A:1 FF:2 01 00000005:00000000 01:00000019 00000001",
  ])
    expect([...parseSilentPeers(table)]).toEqual([]);
});

test("this machine's own table is read, or counts as empty", async () => {
  expect(await readSilentPeers()).toBeInstanceOf(Map);
});

import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { closeAfterTest } from "./support/close-after-test.ts";
import { startLoop } from "./support/loop.ts";
import type { ServiceProcess } from "./support/service-process.ts";
import { openTrial } from "./support/trial.ts";

/** The missed rows of all streams are many times as large. */
const NODE_OPTIONS = "--max-old-space-size=96";
const STREAMS_EACH = 10;

test.each([
  { streams: 5000, rows: 10, bytes: 20_000, env: {} },
  { streams: 2000, rows: 1, bytes: 200_000, env: { MAX_EVENT_BYTES: "0" } },
])(
  "$streams streams reconnect at once, each missing $rows rows of $bytes bytes: with a heap of 96 MB none is lost, and others are answered",
  async ({ streams, rows, bytes, env }) => {
    const { service, query } = await openTrial({
      env: { NODE_OPTIONS, MAX_STREAMS_PER_RECIPIENT: `${STREAMS_EACH}`, ...env },
    });
    const { cursor } = await list(service, "somebody else");
    await query(
      `select bellwire.notify(r::text, 'test', body => repeat('x', $3))
       from generate_series(1, $1) r, generate_series(1, $2)`,
      [streams / STREAMS_EACH, rows, bytes],
    );
    await query("select bellwire.notify('somebody else', 'test')");

    const pid = service.pid();
    const waits: number[] = [];
    let most = 0;
    const others = startLoop(async () => {
      const askedAt = performance.now();
      expect((await list(service, "somebody else")).unread).toBe(1);
      waits.push(performance.now() - askedAt);
      most = Math.max(most, (await service.metrics())("bellwire_replay_bytes_in_flight"));
      await delay(100);
    });
    const startedAt = performance.now();
    const readers = await openReaders(service, streams, cursor);
    await expect
      .poll(() => readers.filter(({ ids }) => ids.size === rows).length, {
        timeout: 240_000,
        interval: 200,
      })
      .toBe(streams);
    const seconds = (performance.now() - startedAt) / 1000;
    await others.close();
    waits.sort((a, b) => a - b);
    const connections = readers.reduce((sum, { connections }) => sum + connections, 0);
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    console.log(
      `  ${streams} streams, ${Math.round((streams * rows * bytes) / 1e6)} MB in ${seconds.toFixed(1)} s, ${connections} connections; ` +
        `most in flight ${Math.round(most / 1000)} KB; peak ${Math.round(Number(peak) / 1024)} MB; ` +
        `a list by somebody else: median ${waits[waits.length >> 1]?.toFixed(0)} ms, longest ${waits.at(-1)?.toFixed(0)} ms`,
    );
    for (const { received } of readers) expect(received).toBe(rows);
    expect([service.pid(), service.exits]).toEqual([pid, []]);
    expect(most).toBeGreaterThan(0);
    expect(waits.length).toBeGreaterThan(3);
    expect(waits[waits.length >> 1]).toBeLessThan(3000);
  },
  400_000,
);

async function list(service: ServiceProcess, recipientId: string) {
  const response = await fetch(`${service.url}/api/notifications`, {
    headers: { authorization: `Bearer ${await service.token(recipientId)}` },
  });
  expect(response.status).toBe(200);
  return (await response.json()) as { cursor: string; unread: number };
}

interface Reader {
  ids: Set<string>;
  received: number;
  connections: number;
}

/** Each reconnects with its last id when its stream ends, like an EventSource. The service ends one that waits too long. */
async function openReaders(service: ServiceProcess, count: number, cursor: string) {
  const readers: Reader[] = [];
  const tokens: string[] = [];
  for (let i = 0; i < count / STREAMS_EACH; i++) tokens.push(await service.token(`${i + 1}`));
  for (let i = 0; i < count; i++) {
    const reader: Reader = { ids: new Set(), received: 0, connections: 0 };
    readers.push(reader);
    connectReader(reader, service.port, tokens[Math.floor(i / STREAMS_EACH)] ?? "", cursor);
    if (i % 250 === 249) await new Promise(setImmediate);
  }
  return readers;
}

function connectReader(reader: Reader, port: number, token: string, cursor: string) {
  let lastEventId = cursor;
  let retryMs = 1000;
  let isOver = false;
  let socket: Socket;
  let timer: NodeJS.Timeout | undefined;

  function open() {
    reader.connections++;
    let pending = "";
    socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => {
      if (!isOver) timer = setTimeout(open, retryMs);
    });
    socket.write(
      `GET /api/notifications/stream HTTP/1.0\r\nLast-Event-ID: ${lastEventId}\r\n` +
        `Authorization: Bearer ${token}\r\n\r\n`,
    );
    socket.setEncoding("latin1").on("data", (chunk) => {
      const blocks = (pending + chunk).split("\n\n");
      pending = blocks.pop() ?? "";
      for (const block of blocks) take(block);
    });
  }

  function take(block: string) {
    retryMs = Number(/(?:^|\n)retry: (\d+)\n/.exec(block)?.[1] ?? retryMs);
    lastEventId = /\nid: (.+)$/.exec(block)?.[1] ?? lastEventId;
    const id = /(?:^|\n)event: notification\ndata: \{"id":"(\d+)"/.exec(block)?.[1];
    if (id === undefined) return;
    reader.ids.add(id);
    reader.received++;
  }

  open();
  closeAfterTest(async () => {
    isOver = true;
    clearTimeout(timer);
    socket.destroy();
  });
}

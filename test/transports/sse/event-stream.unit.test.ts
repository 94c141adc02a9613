import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import type { CloseReason } from "../../../src/connections/close-reason.ts";
import type { Notice } from "../../../src/connections/connection.ts";
import { drained } from "../../../src/connections/drained.ts";
import type { RecipientEvent } from "../../../src/hub/events.ts";
import { openEventStream } from "../../../src/transports/sse/event-stream.ts";
import { bytesOf, encodeFrame, type Frame } from "../../../src/transports/sse/frame.ts";

/** A stream on one end of a real connection. The client on the other end reads when the test says so. */
async function openPair({ maxBufferedBytes = 65_536, isChunked = false, hasBegun = true } = {}) {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  let heard = "";
  client.setEncoding("latin1").on("error", () => {});
  const read = () =>
    client.on("data", (text) => {
      heard += text;
    });
  const reasons: CloseReason[] = [];
  const toKernel = [vi.spyOn(socket, "_write"), vi.spyOn(socket, "_writev")];
  let lastWords: Frame | undefined;
  const frames = {
    ready: () => encodeFrame(isChunked ? "ready" : "ready\n"),
    event: (event: RecipientEvent) => event as unknown as Frame,
    reset: () => encodeFrame("reset\n"),
    notice: (notice: Notice) => encodeFrame(`${notice}\n`),
    farewell: () => lastWords,
  };
  const opened = openEventStream(
    socket,
    {
      isChunked,
      refusal: () => encodeFrame("come again\n"),
      onClose: (reason) => reasons.push(reason),
    },
    { maxBufferedBytes, frames, retryMs: () => 1000 },
  );
  const begin = () => opened.ready({ unread: 0, unseen: 0 }, "unknown");
  if (hasBegun) begin();
  return {
    begin,
    stream: {
      socket,
      hasBegun: () => opened.hasBegun,
      blockedMs: (now: number) => opened.blockedMs(now),
      tell: (notice: Notice) => opened.tell(notice),
      /** Whether the client keeps up. */
      write: (frame: Frame) => opened.send(frame as unknown as RecipientEvent),
      close(reason: CloseReason, last?: Frame) {
        lastWords = last;
        opened.close(reason);
      },
    },
    client,
    socket,
    reasons,
    read,
    heard: () => heard,
    /** How many writes went to the kernel. */
    sends: () => toKernel.reduce((sum, { mock }) => sum + mock.calls.length, 0),
  };
}

const KILOBYTE = encodeFrame("x".repeat(1024));

/** Writes until the client has left more unread than it may. Resolves with the number of bytes written. */
async function fill({ stream }: Awaited<ReturnType<typeof openPair>>): Promise<number> {
  for (let bytes = 1024; ; bytes += 1024) {
    if (!stream.write(KILOBYTE)) return bytes;
    if (bytes % 65_536 === 0) await new Promise(setImmediate);
  }
}

test("what is written in one turn of the event loop is one write, and the next turn is another", async () => {
  const { stream, read, heard, sends } = await openPair();
  read();
  stream.write(encodeFrame("a\n"));
  stream.write(encodeFrame("b\n"));
  expect(sends()).toBe(0);
  await expect.poll(heard).toMatch(/^ready\na\nb\n$/);
  expect(sends()).toBe(1);
  stream.write(encodeFrame("c\n"));
  await expect.poll(heard).toMatch(/c\n$/);
  expect(sends()).toBe(2);
});

test("a ping is written at once if it is alone, and otherwise with what was written before it in the same turn", async () => {
  const { stream, read, heard, sends } = await openPair();
  read();
  stream.tell("ping");
  expect(sends()).toBe(0);
  await expect.poll(heard).toBe("ready\nping\n");
  stream.tell("ping");
  expect(sends()).toBe(2);
  stream.write(encodeFrame("a\n"));
  stream.tell("ping");
  expect(sends()).toBe(2);
  await expect.poll(heard).toBe("ready\nping\nping\na\nping\n");
  expect(sends()).toBe(3);
});

test("a chunked stream sends each frame as one chunk in one piece, and ends with the last chunk", async () => {
  const { begin, stream, client, read, heard, sends } = await openPair({
    isChunked: true,
    hasBegun: false,
  });
  begin();
  read();
  stream.write(encodeFrame("a\n"));
  stream.write(encodeFrame("ünf\n"));
  await expect.poll(heard).toBe("5\r\nready\r\n2\r\na\n\r\n5\r\n\u00c3\u00bcnf\n\r\n");
  expect(sends()).toBe(1);
  stream.close("shutdown", encodeFrame("x".repeat(26)));
  await once(client, "end");
  expect(heard().slice(27)).toBe(`1a\r\n${"x".repeat(26)}\r\n0\r\n\r\n`);
});

test("a stream that ends before it has begun sends what a refused stream sends", async () => {
  const { stream, client, read, heard } = await openPair({ isChunked: true, hasBegun: false });
  read();
  expect(stream.hasBegun()).toBe(false);
  stream.close("shutdown", encodeFrame("last\n"));
  await once(client, "end");
  expect(heard()).toBe("b\r\ncome again\n\r\n0\r\n\r\n");
});

test("a frame and its chunk are the same memory", () => {
  const frame = encodeFrame("event: ping\n\n");
  const [bytes, chunk] = [bytesOf(frame, false), bytesOf(frame, true)];
  expect(bytes.buffer).toBe(chunk.buffer);
  expect(`${bytes}`).toBe("event: ping\n\n");
  expect(`${chunk}`).toBe("d\r\nevent: ping\n\n\r\n");
});

test("a client that reads does not count as slow, however much one turn writes", async () => {
  const { stream, read } = await openPair({ maxBufferedBytes: 20_000 });
  read();
  for (let i = 0; i < 60; i++) expect(stream.write(KILOBYTE)).toBe(true);
});

test("for a client that does not read, the stream knows how much is unread and since when, until it reads", async () => {
  const pair = await openPair({ maxBufferedBytes: 100_000 });
  const { stream, read, heard } = pair;
  expect(stream.blockedMs(performance.now())).toBe(0);
  const before = performance.now();
  const written = await fill(pair);
  expect(stream.socket.writableLength).toBeGreaterThan(100_000);
  expect(stream.socket.writableLength).toBeLessThan(120_000);
  const now = performance.now();
  expect(stream.blockedMs(now + 1000)).toBeGreaterThanOrEqual(1000);
  expect(stream.blockedMs(now)).toBeLessThanOrEqual(now - before);
  // Another write does not restart the time.
  expect(stream.write(encodeFrame("more"))).toBe(false);
  expect(stream.blockedMs(now + 1000)).toBeGreaterThanOrEqual(1000);
  read();
  await drained(stream.socket);
  expect(stream.blockedMs(now + 1000)).toBe(0);
  expect(stream.socket.writableLength).toBe(0);
  await expect.poll(() => heard().length).toBeGreaterThanOrEqual(written);
});

test("the end comes once, after everything that was written in the same turn", async () => {
  const { stream, client, reasons, read, heard } = await openPair();
  read();
  stream.write(encodeFrame("a\n"));
  stream.close("shutdown", encodeFrame("last\n"));
  stream.close("expired", encodeFrame("never\n"));
  stream.write(encodeFrame("never\n"));
  await once(client, "end");
  expect(heard()).toMatch(/^ready\na\nlast\n$/);
  client.destroy();
  await drained(stream.socket);
  expect(reasons).toEqual(["shutdown"]);
});

test("an ended stream does not wait until its client closes too", async () => {
  const { stream, client, socket, read } = await openPair();
  client.allowHalfOpen = true;
  read();
  stream.close("shutdown");
  await once(socket, "finish");
  expect(socket.destroyed).toBe(true);
});

test.each(["slow", "vanished"] as const)(
  "a %s client is cut, whatever is unsent",
  async (reason) => {
    const pair = await openPair();
    await fill(pair);
    const waiting = drained(pair.stream.socket);
    pair.stream.close(reason);
    await waiting;
    expect(pair.socket.destroyed).toBe(true);
    expect(pair.reasons).toEqual([reason]);
  },
);

test.each<[string, (client: Socket) => unknown]>([
  ["closes", (client) => client.destroy()],
  ["resets", (client) => client.resetAndDestroy()],
  ["ends its side", (client) => client.end()],
  ["says something", (client) => client.write("\r\n")],
])("a client that %s ends its stream", async (_, leave) => {
  const { client, socket, reasons, read } = await openPair();
  read();
  // Not once() of node:events, which rejects on an error.
  const closed = new Promise((resolve) => socket.on("close", resolve));
  leave(client);
  await closed;
  expect(reasons).toEqual(["client"]);
});

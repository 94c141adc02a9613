import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { LentSocket } from "../../src/http/lent-socket.ts";
import { startHttpServer } from "../../src/http/server.ts";

async function start(handler: RequestListener) {
  const options = { host: "127.0.0.1", port: 0, portVariable: "PORT", version: "1.2.3" };
  const server = await startHttpServer(handler, options);
  onTestFinished(server.close);
  return server;
}

function dial({ address }: { address: string }) {
  const socket = connect(Number(new URL(address).port), "127.0.0.1");
  let heard = "";
  socket.setEncoding("latin1").on("error", () => {}); // "close" follows
  socket.on("data", (text) => {
    heard += text;
  });
  onTestFinished(() => void socket.destroy());
  return { socket, heard: () => heard };
}

const GET = "GET / HTTP/1.1\r\nHost: bell\r\n\r\n";

/** Takes the socket after the head of a response, as a stream does. */
function detach({ socket }: IncomingMessage, res: ServerResponse): Socket {
  if (!(socket instanceof LentSocket)) throw new Error("not lent");
  res.writeHead(200, { "Content-Length": 9, Connection: "close" });
  const own = socket.detach();
  res.end();
  own.uncork();
  return own;
}

test("pipelined requests are answered in order, as on any connection", async () => {
  const server = await start((req, res) => res.end(`${req.url} ${req.socket.remoteAddress}`));
  const { socket, heard } = dial(server);
  socket.write(GET);
  await expect.poll(heard).toMatch(/\/ 127\.0\.0\.1$/);
  socket.write(GET.replace("/", "/2") + GET.replace("/", "/3"));
  await expect.poll(heard).toMatch(/\/2 127[\s\S]*\/3 127\.0\.0\.1$/);
});

test("a response waits for a client that does not read, and arrives complete", async () => {
  const chunk = "x".repeat(100_000);
  let waits = 0;
  const server = await start(async (_, res) => {
    for (let i = 0; i < 200; i++) {
      if (res.write(chunk)) continue;
      waits++;
      await once(res, "drain");
    }
    res.end("end");
  });
  const [slow, fast] = [dial(server), dial(server)];
  // Paused before it connects, so that it reads nothing. The kernels buffer less than the response.
  slow.socket.pause();
  slow.socket.write(GET.replace("1.1", "1.0"));
  await expect.poll(() => waits).toBeGreaterThan(0);
  fast.socket.write(GET.replace("1.1", "1.0"));
  await once(fast.socket, "close");
  // Its response is incomplete, so it has not ended yet.
  slow.socket.resume();
  await once(slow.socket, "close");
  for (const { heard } of [slow, fast]) {
    const body = heard().slice(heard().indexOf("\r\n\r\n") + 4);
    // toBe() would print all of it.
    expect(body === `${chunk.repeat(200)}end`).toBe(true);
  }
});

test("a body waits until it is read, and arrives complete", async () => {
  let read = () => {};
  const server = await start((req, res) => {
    let bytes = 0;
    read = () =>
      void req
        .on("data", (chunk) => {
          bytes += chunk.length;
        })
        .on("end", () => res.end(`${bytes} bytes`));
  });
  const { socket, heard } = dial(server);
  const length = 20_000_000;
  socket.write(`POST / HTTP/1.1\r\nHost: bell\r\nContent-Length: ${length}\r\n\r\n`);
  socket.write(Buffer.alloc(length, "x"));
  // Only what the kernels buffer is taken.
  let left = Number.NaN;
  await expect
    .poll(() => {
      const isStill = left === socket.writableLength;
      left = socket.writableLength;
      return isStill;
    })
    .toBe(true);
  expect(left).toBeGreaterThan(0);
  read();
  await expect.poll(heard).toMatch(/20000000 bytes$/);
});

test("a client that leaves midway ends request and response", async () => {
  const closed: string[] = [];
  const server = await start((req, res) => {
    req.on("close", () => closed.push("request"));
    res.on("close", () => closed.push("response"));
    res.write("x");
  });
  const { socket, heard } = dial(server);
  socket.write(GET);
  await expect.poll(heard).toContain("x");
  socket.resetAndDestroy();
  await expect.poll(() => closed.sort()).toEqual(["request", "response"]);
});

test("a detached socket works in both directions after what the server wrote", async () => {
  let own: Socket | undefined;
  const server = await start((req, res) => {
    own = detach(req, res);
    own.on("data", (chunk) => own?.write(chunk)).resume();
  });
  const { socket, heard } = dial(server);
  socket.write(GET);
  await expect.poll(heard).toMatch(/\r\n\r\n$/);
  socket.write("echo echo");
  await expect.poll(heard).toMatch(/\r\n\r\necho echo$/);
  expect(own?.destroyed).toBe(false);
  // A timeout of the HTTP server no longer applies.
  expect(own?.timeout ?? 0).toBe(0);
});

test("a detached socket keeps neither request nor response in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const held: WeakRef<object>[] = [];
  const server = await start((req, res) => {
    held.push(new WeakRef(req), new WeakRef(res), new WeakRef(req.socket));
    detach(req, res).resume();
  });
  const first = dial(server);
  first.socket.write(GET);
  await expect.poll(first.heard).toMatch(/\r\n\r\n$/);
  // Node keeps the parser for the next connection, and it holds the last request until then.
  const second = dial(server);
  second.socket.write(GET);
  await expect.poll(second.heard).toMatch(/\r\n\r\n$/);
  await expect
    .poll(() => {
      collect();
      return held.slice(0, 3).filter((ref) => ref.deref() !== undefined).length;
    })
    .toBe(0);
});

test("closing the server also cuts a detached socket whose client does not read", async () => {
  let own: Socket | undefined;
  const server = await start((req, res) => {
    own = detach(req, res);
  });
  const { socket } = dial(server);
  socket.write(GET);
  await once(socket, "data");
  socket.pause();
  own?.end(Buffer.alloc(30_000_000));
  await server.close();
  expect(own?.destroyed).toBe(true);
});

test("closing the server cuts a connection without a request at once, and lets a response finish", async () => {
  let answer: ServerResponse | undefined;
  const server = await start((_, res) => {
    answer = res;
  });
  // They are accepted in this order.
  const [unused, asking] = [dial(server), dial(server)];
  asking.socket.write(GET);
  await expect.poll(() => answer).toBeDefined();
  const ended = once(asking.socket, "close");
  const closed = server.close();
  await once(unused.socket, "close");
  answer?.end("whole");
  await Promise.all([closed, ended]);
  expect(asking.heard()).toMatch(/whole$/);
});

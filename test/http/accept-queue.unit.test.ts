import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { createAcceptQueue } from "../../src/http/accept-queue.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));
const connect = () => new Duplex({ read() {} }) as Socket;

test("a connection that comes alone is served in the next turn of the event loop", async () => {
  const served: Socket[] = [];
  const accept = createAcceptQueue((socket) => served.push(socket));
  for (let i = 0; i < 3; i++) {
    const socket = connect();
    accept(socket);
    await turn();
    await turn();
    expect(served).toEqual([socket]);
    served.pop();
  }
});

test("while connections come in every turn, few are served; then all, in their order", async () => {
  const served: Socket[] = [];
  const accept = createAcceptQueue((socket) => served.push(socket));
  const sockets = Array.from({ length: 40 }, connect);
  for (const socket of sockets) {
    accept(socket);
    await turn();
  }
  expect(served.length).toBeGreaterThanOrEqual(9);
  expect(served.length).toBeLessThanOrEqual(11);
  for (let i = 0; i < 40; i++) await turn();
  expect(served).toEqual(sockets);
});

test("a connection that breaks while it waits is not served, and the next one is", async () => {
  const served: Socket[] = [];
  const accept = createAcceptQueue((socket) => served.push(socket));
  const [broken, whole] = [connect(), connect()];
  accept(broken);
  accept(whole);
  broken.destroy(new Error("read ECONNRESET"));
  for (let i = 0; i < 5; i++) await turn();
  expect(served).toEqual([whole]);
  expect(whole.listenerCount("error")).toBe(0);
});

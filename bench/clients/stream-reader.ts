/**
 * Many event streams in one process, which uses little CPU because the machine has few cores: bare sockets, one buffer for all,
 * and only a sample is parsed. `streams.ts` controls it.
 */
import { connect, type Socket } from "node:net";
import { createFrameScanner, readKey } from "./frames.ts";
import type { Command, Report } from "./streams.ts";

/** The backlog of connections that a server has not accepted is short. */
const OPENING_AT_ONCE = 50;

const buffer = Buffer.allocUnsafe(256 * 1024);
const sockets = new Set<Socket>();
let sampleEvery = 1;
let report: Report = empty();

function empty(): Report {
  return { frames: 0, resets: 0, ended: 0, firstAt: 0, lastAt: 0, samples: [] };
}

function onFrame(bytes: Buffer, start: number) {
  const at = performance.timeOrigin + performance.now();
  if (report.frames === 0) report.firstAt = at;
  report.lastAt = at;
  report.frames++;
  if (report.frames % sampleEvery === 0) report.samples.push([readKey(bytes, start), at]);
}

function open(port: number, request: string, ready: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let isReady = false;
    let head = "";
    const scan = createFrameScanner(onFrame);
    const callback = (length: number) => {
      const chunk = buffer.subarray(0, length);
      if (isReady) {
        if (chunk.includes("event: reset")) report.resets++;
        scan(chunk);
      } else {
        head += chunk.toString("latin1");
        isReady = head.includes(ready) && /\n\r?\n(\r\n)?$/.test(head);
        if (isReady) resolve();
      }
      return true;
    };
    const socket = connect({ port, host: "127.0.0.1", onread: { buffer, callback } });
    sockets.add(socket);
    socket.on("error", reject);
    socket.on("close", () => {
      report.ended++;
      reject(new Error(`a stream was ended: ${head}`));
    });
    socket.write(request);
  });
}

async function openAll(port: number, requests: string[], ready: string) {
  const left = [...requests];
  const openNext = async () => {
    for (let request = left.pop(); request; request = left.pop()) await open(port, request, ready);
  };
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, openNext));
}

process.on("message", async (command: Command) => {
  if (command.kind === "open") {
    await openAll(command.port, command.requests, command.ready);
    process.send?.({});
  } else if (command.kind === "start") {
    sampleEvery = command.sampleEvery;
    report = empty();
    process.send?.({});
  } else {
    const { samples, ...counts } = report;
    process.send?.(command.kind === "count" ? counts : report);
  }
});
process.on("disconnect", () => process.exit());

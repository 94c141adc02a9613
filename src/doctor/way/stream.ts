import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { createParser, type Event } from "./events.ts";
import { describe, type Failure, type Head, headOf, type RequestOptions, send } from "./request.ts";

/** An event, and when it arrived, by `performance.now()`. */
export interface Heard extends Event {
  at: number;
}

export type EventStream = ReturnType<typeof openStream>;

/** What arrives on a stream, with the time of each event. `close` cuts it. */
export function openStream(url: URL, options: RequestOptions) {
  const openedAt = performance.now();
  const heard: Heard[] = [];
  const waiting = new Set<() => void>();
  const parse = createParser();
  let head: Head | Failure | undefined;
  let text = "";
  let end: { at: number; isCut: boolean } | undefined;

  const sent = send(url, options, read, fail);

  function wake() {
    for (const check of waiting) check();
  }
  function fail(failure: Failure) {
    head ??= failure;
    finish(true);
  }
  function finish(isCut: boolean) {
    end ??= { at: performance.now(), isCut };
    wake();
  }
  function read(response: IncomingMessage) {
    head = headOf(response);
    response.on("error", (err) => fail(describe(err)));
    const body = decompress(response);
    body.setEncoding("utf8");
    body.on("data", (part: string) => {
      text += text.length < 65_536 ? part : "";
      const at = performance.now();
      heard.push(...parse(part).map((event) => ({ ...event, at })));
      wake();
    });
    body.on("end", () => finish(false));
    body.on("error", () => finish(true));
    wake();
  }

  /** Resolves when there is something, or with undefined when the time is over or the stream has ended. */
  function until<T>(find: () => T | undefined, limitMs: number): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(settle, limitMs);
      function settle(found?: T) {
        clearTimeout(timer);
        waiting.delete(check);
        resolve(found);
      }
      function check() {
        const found = find();
        if (found !== undefined || end) settle(found);
      }
      waiting.add(check);
      check();
    });
  }

  return {
    openedAt,
    heard,
    /** The head of the response; undefined if there is none in this time. */
    head: (limitMs: number) => until(() => head, limitMs),
    /** The first such event, also of those that came before. */
    hear: (fits: (event: Heard) => boolean, limitMs: number) =>
      until(() => heard.find(fits), limitMs),
    /** How it ended; undefined if it is open after this time. */
    ended: async (limitMs: number) => (await until(() => end, limitMs)) ?? end,
    lastId: () => heard.findLast(({ id }) => id !== undefined)?.id,
    text: () => text,
    close: sent.close,
  };
}

/** As a browser does: it shows what came so far, without waiting for the end of a block. */
function decompress(response: IncomingMessage): Readable {
  const flush = constants.Z_SYNC_FLUSH;
  switch (response.headers["content-encoding"]) {
    case "gzip":
      return response.pipe(createGunzip({ flush, finishFlush: flush }));
    case "deflate":
      return response.pipe(createInflate({ flush, finishFlush: flush }));
    case "br":
      return response.pipe(createBrotliDecompress());
    default:
      return response;
  }
}

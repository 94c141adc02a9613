import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { type BellOptions, createBell, type Notification } from "../src/bell.ts";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const notification = (id: number): Notification => ({
  ...{ id: `${id}`, type: "note", actorId: null, title: `number ${id}`, body: null, link: null },
  ...{ data: {}, createdAt: "2026-11-30T12:00:00Z", seenAt: null, readAt: null, archivedAt: null },
});

/** These ids, newest first, as the list has them. */
const page = (from: number, to: number, nextBefore: string | null = null) => ({
  notifications: Array.from({ length: from - to + 1 }, (_, i) => notification(from - i)),
  ...{ nextBefore, unread: 100, unseen: 100, cursor: "list" },
});

interface Request {
  method: string;
  /** With the query. */
  path: string;
  body: string;
  headers: Record<string, string>;
  answer: (json: unknown, status?: number) => void;
}

/** Stands for the service. Requests wait until the test answers them. */
let asked: Request[];
let stream: ReadableStreamDefaultController<Uint8Array>;

beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit & { headers: Record<string, string> }) => {
    const { method = "GET", signal, headers } = init;
    return new Promise<Response>((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
      const respond = (body: BodyInit, status: number, type: string) =>
        resolve(
          new Response(body, {
            status,
            headers: { "content-type": type, "bellwire-recipient": "me" },
          }),
        );
      asked.push({
        method,
        path: url.replace("http://service", ""),
        body: String(init.body ?? ""),
        headers,
        answer(json, status = 200) {
          const type = status === 200 ? "application/json" : "application/problem+json";
          respond(JSON.stringify(json), status, type);
        },
      });
      if (url.includes("/stream"))
        respond(
          new ReadableStream({
            start(controller) {
              stream = controller;
              signal?.addEventListener("abort", () => controller.error(signal.reason));
            },
          }) as unknown as BodyInit,
          200,
          "text/event-stream",
        );
    });
  });
});

function open(options: Partial<BellOptions> = {}) {
  const bell = createBell({ url: "http://service", ...options });
  onTestFinished(bell.close);
  return bell;
}

/** The next request with this method and beginning of its path. It is handed out once. */
async function request(method: string, path: string): Promise<Request> {
  const find = () => asked.find((each) => each.method === method && each.path.startsWith(path));
  await expect.poll(find).toBeDefined();
  const found = find() as Request;
  asked.splice(asked.indexOf(found), 1);
  return found;
}

function send(event: string, data: object, id: string): void {
  const text = `event: ${event}\ndata: ${JSON.stringify(data)}\nid: ${id}\n\n`;
  stream.enqueue(new TextEncoder().encode(text));
}

/** A bell that has this list and is live. */
async function openLive(list: ReturnType<typeof page>, options?: Partial<BellOptions>) {
  const bell = open(options);
  (await request("GET", "?limit=20")).answer(list);
  await request("GET", "/stream");
  send("ready", { unread: list.unread, unseen: list.unseen, cursor: "ready" }, "ready");
  await expect.poll(() => bell.getSnapshot().status).toBe("live");
  return bell;
}

const idsOf = ({ notifications }: { notifications: readonly Notification[] }) =>
  notifications.map(({ id }) => Number(id));

/** What the page's `error` event would have. */
function catchErrors(): unknown[] {
  const errors: unknown[] = [];
  const { setTimeout } = globalThis;
  vi.stubGlobal("setTimeout", (act: () => void, ms?: number, ...rest: []) => {
    if (ms !== undefined) return setTimeout(act, ms, ...rest);
    try {
      act();
    } catch (error) {
      errors.push(error);
    }
  });
  return errors;
}

test("a listener that throws keeps neither the bell nor another listener from going on", async () => {
  const errors = catchErrors();
  const bell = open();
  const fault = new Error("a fault of the page");
  const fail = () => {
    throw fault;
  };
  bell.subscribe(fail);
  bell.on("status", fail);
  bell.on("notification", fail);
  const rang = vi.fn();
  bell.on("notification", rang);
  (await request("GET", "?limit=20")).answer(page(2, 1));
  await request("GET", "/stream");
  send("ready", { unread: 2, unseen: 2 }, "ready");
  send("notification", { ...notification(3), unread: 3, unseen: 3 }, "3");
  await expect.poll(() => rang.mock.calls.length).toBe(1);
  expect(bell.getSnapshot()).toMatchObject({ status: "live", unread: 3 });
  expect(new Set(errors)).toEqual(new Set([fault]));
});

test("a page of older notifications that comes after a reset leaves no hole", async () => {
  const bell = await openLive(page(100, 81, "81"));
  const first = bell.loadMore();
  (await request("GET", "?before=81")).answer(page(80, 61, "61"));
  await first;
  const late = bell.loadMore();
  const older = await request("GET", "?before=61");
  send("reset", { reason: "too_many", unread: 120, unseen: 120 }, "reset");
  // Those that were shown, and a page more for what may have come.
  (await request("GET", "?limit=60")).answer(page(160, 101, "101"));
  await expect.poll(() => idsOf(bell.getSnapshot())[0]).toBe(160);
  older.answer(page(60, 41, "41"));
  await late;
  expect(idsOf(bell.getSnapshot())).toEqual(idsOf(page(160, 101)));
  expect(bell.getSnapshot().hasMore).toBe(true);
});

test("a page that was asked for twice is added once, and does not bring its counts", async () => {
  const bell = await openLive(page(100, 81, "81"));
  const loading = [bell.loadMore(), bell.loadMore()];
  const [first, second] = [await request("GET", "?before=81"), await request("GET", "?before=81")];
  send("notification", { ...notification(101), unread: 101, unseen: 101 }, "101");
  await expect.poll(() => bell.getSnapshot().unread).toBe(101);
  first.answer(page(80, 61, "61"));
  second.answer(page(80, 61, "61"));
  await Promise.all(loading);
  expect(idsOf(bell.getSnapshot())).toEqual(idsOf(page(101, 61)));
  expect(bell.getSnapshot().unread).toBe(101);
});

test("a closed bell asks for nothing and tells nothing any more", async () => {
  const bell = await openLive(page(2, 1));
  const rang: string[] = [];
  bell.on("notification", ({ id }) => {
    rang.push(id);
    bell.close();
  });
  const marking = bell.markAsRead("1");
  const mark = await request("PATCH", "/1");
  // Both come in one piece.
  const two = [3, 4].map((id) => {
    const data = JSON.stringify({ ...notification(id), unread: id, unseen: id });
    return `event: notification\ndata: ${data}\nid: ${id}\n\n`;
  });
  stream.enqueue(new TextEncoder().encode(two.join("")));
  await expect.poll(() => rang).toEqual(["3"]);
  mark.answer({ code: "notification_unknown" }, 404);
  await expect(marking).rejects.toMatchObject({ kind: "invalid" });
  expect(asked).toEqual([]);
  expect(rang).toEqual(["3"]);
});

test("two types that are muted at the same time are both muted", async () => {
  const bell = await openLive(page(2, 1));
  const muting = [bell.setMuted("a", true), bell.setMuted("b", true)];
  let mutedTypes: string[] = [];
  for (let i = 0; i < 4; i++) {
    await expect.poll(() => asked.length).toBeGreaterThan(0);
    // Reads are faster.
    const next = await request(asked.some(({ method }) => method === "GET") ? "GET" : "PUT", "");
    if (next.method === "PUT") ({ mutedTypes } = JSON.parse(next.body));
    next.answer({ mutedTypes });
  }
  await Promise.all(muting);
  expect(bell.getSnapshot().preferences).toEqual({ mutedTypes: ["a", "b"] });
});

test("a change says whom it is for", async () => {
  const bell = await openLive(page(2, 1));
  const marking = bell.markAsRead("1");
  const mark = await request("PATCH", "/1");
  expect(mark.headers["bellwire-recipient"]).toBe("me");
  mark.answer({ ...notification(1), readAt: "now" });
  await marking;
});

test("a token or an answer that never comes is given up, and asked for again", async () => {
  // Each of them ends a request that takes too long.
  const limits: AbortController[] = [];
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() => {
    const limit = new AbortController();
    limits.push(limit);
    return limit.signal;
  });
  const getToken = vi.fn(async () => "token");
  const bell = await openLive(page(2, 1), { getToken });
  const marking = bell.markAsRead("2");
  await request("PATCH", "/2");
  expect(bell.getSnapshot().unread).toBe(99);
  limits.pop()?.abort();
  await expect(marking).rejects.toMatchObject({ kind: "away" });
  expect(bell.getSnapshot().unread).toBe(100);

  send("auth", { reason: "expiring" }, "");
  send("notification", { ...notification(3), unread: 101, unseen: 101 }, "3");
  await expect.poll(() => bell.getSnapshot().unread).toBe(101);
  getToken.mockImplementationOnce(() => new Promise(() => {}));
  const waiting = bell.markAsRead("1");
  await expect.poll(() => getToken.mock.calls.length).toBe(2);
  limits.pop()?.abort();
  await expect(waiting).rejects.toMatchObject({ kind: "away" });
  const again = bell.markAsRead("1");
  (await request("PATCH", "/1")).answer({});
  await again;
});

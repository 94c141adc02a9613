import { PassThrough } from "node:stream";
import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Notification } from "../../src/changes/notification.ts";
import { createNotificationEncoder, encodeInParts } from "../../src/http/notification-json.ts";
import { NotificationJson } from "../../src/http/response-schemas.ts";
import { createLogger } from "../../src/logger.ts";

const PLAIN: Notification = {
  id: 2n ** 63n - 1n,
  recipientId: "me",
  type: "note",
  actorId: null,
  title: null,
  body: null,
  link: null,
  data: "{}",
  isCut: false,
  createdAt: "2026-11-28T12:00:00.000Z",
  seenAt: null,
  readAt: null,
  archivedAt: null,
};

const log = createLogger("silent");
/** What an event has at most besides the notification: its name, counts, and an id of 128 characters. */
const FRAME = `event: notification\ndata: ,"unread":2147483647,"unseen":2147483647\nid: ${"x".repeat(128)}\n\n`;

const text = fc
  .array(fc.constantFrom("a", "я", "😀", "\u0001", "\u2028", "\\", '"', "e\u0301"), {
    maxLength: 1500,
    size: "max",
  })
  .map((parts) => parts.join(""));

test("an event is never larger than MAX_EVENT_BYTES, whichever fields are large; each field is whole, cut or missing", () => {
  fc.assert(
    fc.property(
      fc.record({ type: text, actorId: text, title: text, body: text, link: text, data: text }),
      fc.integer({ min: 1024, max: 20_000 }),
      (texts, maxEventBytes) => {
        const row = { ...PLAIN, ...texts, data: JSON.stringify(texts.data) };
        const json = createNotificationEncoder({ maxEventBytes, log }).encode(row);
        expect(Buffer.byteLength(json) + FRAME.length).toBeLessThanOrEqual(maxEventBytes);
        const got = NotificationJson.parse(JSON.parse(json));
        for (const field of ["type", "title", "body"] as const) {
          expect(row[field].startsWith(got[field] ?? "")).toBe(true);
          expect(() => encodeURIComponent(got[field] ?? "")).not.toThrow(); // no half of a surrogate pair
        }
        for (const field of ["actorId", "link"] as const)
          expect([row[field], null]).toContain(got[field]);
        const { truncated } = got;
        const isSame =
          (["type", "actorId", "title", "body", "link"] as const).every((f) => got[f] === row[f]) &&
          got.data === texts.data;
        expect(truncated === undefined).toBe(isSame);
      },
    ),
    { numRuns: 300 },
  );
});

test("a cut notification fills the event up to a few bytes", () => {
  let cuts = 0;
  fc.assert(
    fc.property(text, fc.integer({ min: 1024, max: 5000 }), (body, maxEventBytes) => {
      const json = createNotificationEncoder({ maxEventBytes, log }).encode({ ...PLAIN, body });
      if (JSON.parse(json).body === body) return;
      cuts++;
      expect(Buffer.byteLength(json) + 256).toBeGreaterThan(maxEventBytes - 20);
    }),
  );
  expect(cuts).toBeGreaterThan(10);
});

test("cutting a body encodes it a few times, not once for each halving", () => {
  const body = "x".repeat(1_000_000);
  const measured = vi.spyOn(Buffer, "byteLength");
  onTestFinished(() => measured.mockRestore());
  const { encode } = createNotificationEncoder({ maxEventBytes: 999_000, log });
  expect(JSON.parse(encode({ ...PLAIN, body })).truncated).toBe(true);
  const characters = measured.mock.calls.reduce((sum, [text]) => sum + String(text).length, 0);
  expect(characters).toBeGreaterThan(body.length);
  expect(characters).toBeLessThan(6 * body.length);
});

test("of a long list one large notification is encoded in a turn of the event loop, and as many small ones as make a part", async () => {
  let turn = 0;
  let isOver = false;
  onTestFinished(() => {
    isOver = true;
  });
  (function nextTurn() {
    turn++;
    if (!isOver) setImmediate(nextTurn);
  })();
  async function countTurns(body: string): Promise<number> {
    const turns = new Set<number>();
    const encoder = createNotificationEncoder({ maxEventBytes: 100_000, log });
    const rows = Array.from({ length: 10 }, (_, i) => ({ ...PLAIN, id: BigInt(i), body }));
    const encode = (row: Notification) => {
      turns.add(turn);
      return encoder.encode(row);
    };
    expect(await encodeInParts(rows, { encode })).toEqual(rows.map(encoder.encode));
    return turns.size;
  }
  expect(await countTurns("x".repeat(80_000))).toBe(10);
  // Four of these are more than a part.
  expect(await countTurns("x".repeat(20_000))).toBe(3);
  expect(await countTurns("x")).toBe(1);
});

test("a field whose JSON is longer than a string can be is left out, and logged with the notification's id", () => {
  const lines = new PassThrough();
  const encoder = createNotificationEncoder({
    maxEventBytes: Number.POSITIVE_INFINITY,
    log: createLogger("error", lines),
  });
  // Each is six characters as JSON. 600 million characters are more than a V8 string can hold.
  const body = "\u0001".repeat(100_000_000);
  const got = JSON.parse(encoder.encode({ ...PLAIN, title: "Title", body, data: "[1]" }));
  expect(got).toMatchObject({ title: "Title", body: null, data: [1], truncated: true });
  expect(String(lines.read())).toContain(`"notification":"${PLAIN.id}"`);
  expect(JSON.parse(encoder.encode(PLAIN))).not.toHaveProperty("truncated");
});

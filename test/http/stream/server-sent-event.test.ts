import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeEvent, encodeRetry, HEARTBEAT } from "../../../src/http/stream/server-sent-event.ts";

describe("an event on the wire", () => {
  test("has its fields in the order event, data, id", () => {
    expect(encodeEvent({ event: "notification", data: { a: 1 }, id: "v1.x" })).toBe(
      'event: notification\ndata: {"a":1}\nid: v1.x\n\n',
    );
  });

  test("has no id where it must not move the position", () => {
    expect(encodeEvent({ event: "ping", data: {} })).toBe("event: ping\ndata: {}\n\n");
  });

  test("cannot be forged by what it carries", () => {
    const hostile = "\n\nevent: forged\ndata: {}\n\n\r\r\n\u2028\u2029\ufeffid: 9\nretry: 1\n\n";
    const text = encodeEvent({ event: "notification", data: { title: hostile } });
    expect(text.split(/\r\n|\r|\n/)).toHaveLength(4);
    expect(JSON.parse(text.split("\n")[1]?.slice("data: ".length) ?? "")).toEqual({
      title: hostile,
    });
  });

  test("is one event whatever the data", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (title) => {
        const lines = encodeEvent({ event: "notification", data: { title } }).split(/\r\n|\r|\n/);
        expect(lines).toHaveLength(4);
      }),
    );
  });

  test.each(["", "7\nevent: forged", "a b", "\0", "x".repeat(129)])("refuses the id %j", (id) => {
    expect(() => encodeEvent({ event: "notification", data: {}, id })).toThrow(TypeError);
  });

  test.each(["", "no tification", "a\nb", "Ping"])("refuses the event name %j", (event) => {
    expect(() => encodeEvent({ event, data: {} })).toThrow(TypeError);
  });
});

test("the time to wait is in whole milliseconds", () => {
  expect(encodeRetry(2000.7)).toBe("retry: 2001\n\n");
});

test("a heartbeat is a comment, so no script sees it", () => {
  expect(HEARTBEAT).toMatch(/^:[^\n]*\n$/);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeJson } from "../../../src/http/json-line.ts";
import { encodeEvent } from "../../../src/transports/sse/server-sent-event.ts";

/** What str.splitlines() of Python takes for a line end. */
const LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029";
const PYTHON_LINE_END = new RegExp(`\r\n|[${LINE_ENDS}]`);

describe("an event on the wire", () => {
  test("has its fields in the order event, data, id", () => {
    expect(encodeEvent({ event: "notification", data: '{"a":1}', id: "v1.x" })).toBe(
      'event: notification\ndata: {"a":1}\nid: v1.x\n\n',
    );
  });

  test("has no id if it must not move the position", () => {
    expect(encodeEvent({ event: "ping", data: "{}" })).toBe("event: ping\ndata: {}\n\n");
  });

  test("has retry first in its block, in whole milliseconds", () => {
    expect(encodeEvent({ event: "ready", data: "{}", id: "v1.x", retryMs: 2000.7 })).toBe(
      "retry: 2001\nevent: ready\ndata: {}\nid: v1.x\n\n",
    );
  });

  test("cannot be forged by what it carries", () => {
    const hostile = "\n\nevent: forged\ndata: {}\n\n\r\r\n\u2028\u2029\ufeffid: 9\nretry: 1\n\n";
    const text = encodeEvent({ event: "notification", data: encodeJson({ title: hostile }) });
    expect(text.split(/\r\n|\r|\n/)).toHaveLength(4);
    expect(JSON.parse(text.split("\n")[1]?.slice("data: ".length) ?? "")).toEqual({
      title: hostile,
    });
  });

  test("is one event whatever the data, also for Python's splitlines()", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.oneof(
            fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
            fc.constantFrom(...LINE_ENDS),
          ),
        }),
        (title) => {
          const text = encodeEvent({ event: "notification", data: encodeJson({ title }) });
          expect(text.split(PYTHON_LINE_END)).toHaveLength(4);
          expect(JSON.parse(text.split("\n")[1]?.slice("data: ".length) ?? "")).toEqual({ title });
        },
      ),
    );
  });

  test.each(["", "7\nevent: forged", "a b", "\0", "x".repeat(129)])("refuses the id %j", (id) => {
    expect(() => encodeEvent({ event: "notification", data: "{}", id })).toThrow(TypeError);
  });

  test.each(["\n", "{}\r", "{}\n\nevent: forged"])("refuses the data %j", (data) => {
    expect(() => encodeEvent({ event: "notification", data })).toThrow(TypeError);
  });

  test.each(["", "no tification", "a\nb", "Ping"])("refuses the event name %j", (event) => {
    expect(() => encodeEvent({ event, data: "{}" })).toThrow(TypeError);
  });
});

import { expect, test } from "vitest";
import { readable } from "../scripts/dev/readable.ts";
import { createLogger } from "../src/logger.ts";
import { MigrationError } from "../src/migrate/error.ts";

/** The line of the service's logger, with its time replaced. */
function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  let line = "";
  function keep(text: string) {
    line = text;
  }
  write(createLogger("info", { write: keep }));
  return readable(line.trim().replace(/"time":"[^"]*"/, '"time":"2026-11-29T10:14:05.123Z"'));
}

test("a log line has time, level, message and fields", () => {
  expect(logged((log) => log.info({ database: "app", applied: ["a.sql"] }, "migrated"))).toBe(
    '10:14:05.123Z info  migrated  database=app  applied=["a.sql"]',
  );
});

test("the stacks of an error and of its cause stand below it", () => {
  const err = new Error("outer", { cause: new Error("inner") });
  const [head, ...below] = logged((log) => log.error({ err }, "failed")).split("\n");
  expect(head).toBe("10:14:05.123Z error failed");
  expect(below[0]).toBe("    Error: outer");
  expect(below[1]).toMatch(/^ {8}at .*readable\.unit\.test/);
  expect(below).toContain("    Error: inner");
});

test("of a MigrationError only the message is shown, which says everything", () => {
  const err = new MigrationError("a.sql:1: no\nNothing was changed.", {
    cause: new Error("inner"),
  });
  expect(logged((log) => log.fatal({ err }, "could not start")).split("\n")).toEqual([
    "10:14:05.123Z fatal could not start",
    "    a.sql:1: no",
    "    Nothing was changed.",
  ]);
});

test.each(["plain text", "", "null", "42", '{"msg":1}', "{"])(
  "a line that is not of the log stays as it is: %j",
  (line) => {
    expect(readable(line)).toBe(line);
  },
);

import { PassThrough } from "node:stream";
import pg from "pg";
import { describe, expect, test } from "vitest";
import { createLogger } from "../src/logger.ts";

const CANARY = "canary";

function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  const lines = new PassThrough();
  let text = "";
  lines.on("data", (chunk) => {
    text += chunk;
  });
  write(createLogger("trace", lines));
  return text;
}

function databaseError(code: string, message: string) {
  const err = new pg.DatabaseError(message, message.length, "error");
  return Object.assign(err, { code, detail: CANARY, where: CANARY, internalQuery: CANARY });
}

describe("an error is logged", () => {
  test("with its name, code, message, stack and cause", () => {
    const cause = databaseError("42501", "permission denied for table notifications");
    const text = logged((log) => log.warn({ err: new Error("cannot read", { cause }) }, "oh"));
    expect(JSON.parse(text).err).toEqual({
      name: "Error",
      message: "cannot read",
      stack: expect.stringContaining("logger.unit.test.ts"),
      cause: {
        name: "error",
        code: "42501",
        message: "permission denied for table notifications",
        stack: expect.any(String),
      },
    });
  });

  test.each([
    ["22P02", `invalid input syntax for type bigint: "${CANARY}"`],
    ["23514", `new row violates "${CANARY}"`],
    ["P0001", `${CANARY} is not allowed`],
  ])("without a message that can quote a row: %s", (code, message) => {
    const text = logged((log) => log.warn({ err: databaseError(code, message) }, "oh"));
    expect(text).not.toContain(CANARY);
    expect(JSON.parse(text).err).toMatchObject({ code, message: "withheld: it may quote data" });
    expect(JSON.parse(text).err.stack).toContain("logger.unit.test.ts");
  });

  test("without the message of a Prisma error", () => {
    const err = Object.assign(new Error(`Invalid value ${CANARY}`), {
      name: "PrismaClientKnownRequestError",
      code: "P2010",
      meta: { driverAdapterError: CANARY },
    });
    const text = logged((log) => log.warn({ err, cause: 1 }, "oh"));
    expect(text).not.toContain(CANARY);
    expect(text).toContain("P2010");
  });

  test("without the value if something else than an Error was thrown", () => {
    expect(logged((log) => log.warn({ err: CANARY }, "oh"))).not.toContain(CANARY);
  });
});

test("values under the names of secrets are redacted at every place", () => {
  for (const key of ["authorization", "cookie", "token", "ticket", "url", "password"]) {
    const text = logged((log) => {
      log.info({ [key]: CANARY }, "oh");
      log.info({ req: { [key]: CANARY } }, "oh");
    });
    expect(text).not.toContain(CANARY);
    expect(text).toContain("[redacted]");
  }
});

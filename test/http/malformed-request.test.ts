import { once } from "node:events";
import { connect } from "node:net";
import { beforeAll, expect, test } from "vitest";
import { readVersion } from "../../src/version.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { openService, type Service } from "../support/service.ts";

let database: TestDatabase;
let service: Service;
beforeAll(async () => {
  database = await createDatabase();
  service = await openService({ databaseUrl: database.url });
  return async () => {
    await service.close();
    await database.close();
  };
});

/** Sends bytes on a new connection, and `more` after it has received `until`. Resolves at its end with everything received. */
async function say(bytes: string, until?: string, more = ""): Promise<string> {
  const { hostname, port } = new URL(service.url);
  const socket = connect(Number(port), hostname);
  let heard = "";
  let isSaid = until === undefined;
  socket.on("data", (chunk) => {
    heard += chunk;
    if (isSaid || !heard.includes(until ?? "")) return;
    isSaid = true;
    socket.write(more);
  });
  socket.on("error", () => {}); // "close" follows
  socket.write(bytes);
  await once(socket, "close");
  return heard;
}

async function head(line: string, ...headers: string[]) {
  const authorization = `Authorization: Bearer ${await service.token("1")}`;
  return [`${line} HTTP/1.1`, "Host: bell", authorization, ...headers, "\r\n"].join("\r\n");
}

const POST = "POST /api/notifications/mark-all-read";
const JSON_TYPE = "Content-Type: application/json";

test.each([
  ["text that is not HTTP", "hello\r\n\r\n"],
  ["a method in lower case", "get /livez HTTP/1.1\r\nHost: bell\r\n\r\n"],
  ["a URL that cannot be decoded", "GET http://[::1/livez HTTP/1.1\r\nHost: bell\r\n\r\n"],
  ["a header without a colon", "GET /livez HTTP/1.1\r\nHost: bell\r\nx y\r\n\r\n"],
])("%s is answered with a problem", async (_, bytes) => {
  const heard = await say(bytes);
  expect(heard).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(heard).toContain(`X-Service-Version: ${readVersion()}\r\n`);
  const problem = JSON.parse(heard.slice(heard.indexOf("{")));
  expect(problem).toMatchObject({ status: 400, code: "request_malformed" });
  expect(heard).toContain(`X-Request-Id: ${problem.requestId}\r\n`);
});

test.each([
  ["a body of broken chunks", "Transfer-Encoding: chunked", "ZZ\r\n{}\r\n0\r\n\r\n"],
  ["an unknown transfer coding", "Transfer-Encoding: canary", "{}"],
])("%s is answered with a problem, too", async (_, header, body) => {
  const heard = await say((await head(POST, JSON_TYPE, header)) + body);
  expect(heard).toMatch(/^HTTP\/1\.1 400 /);
  expect(heard).toContain('"code":"request_malformed"');
});

test("an endless body is cut after any refusal, also without a token", async () => {
  const lines = [`${POST} HTTP/1.1`, "Host: bell", "Content-Length: 10000000000", "\r\n"];
  expect(await say(lines.join("\r\n"))).toMatch(/^HTTP\/1\.1 401 /);
});

test.each([
  ["no Expect", []],
  ["an Expect", ["Expect: something"]],
])(
  "garbage on an open stream, with %s in its request, closes it without a second response",
  async (_, headers) => {
    const stream = await head("GET /api/notifications/stream", ...headers);
    const heard = await say(stream, "event: ready", "GARBAGE\r\n\r\n");
    expect(heard).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(heard.match(/HTTP\/1\.1/g)).toHaveLength(1);
  },
);

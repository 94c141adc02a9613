import { beforeAll, describe, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../support/database.ts";
import { openStream } from "../../support/event-source.ts";
import { startService } from "../../support/service.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  return () => database.close();
});

const [CUSTOMER, EXECUTOR] = ["1", "2"];

/** What an application writes, in the order of a task's life, and who is notified of what. */
const STORY = [
  {
    write: "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello')",
    told: [
      { who: EXECUTOR, type: "message.received", link: "/messages/1", data: { messageId: 1 } },
    ],
  },
  {
    write: "insert into responses (task_id, user_id, message, price) values (1, 2, 'I can', 90)",
    told: [
      {
        who: CUSTOMER,
        type: "response.received",
        link: "/tasks/1",
        data: { taskId: 1, responseId: 1 },
      },
    ],
  },
  {
    write: "insert into responses (task_id, user_id, message) values (2, 2, 'This too')",
    told: [
      {
        who: CUSTOMER,
        type: "response.received",
        link: "/tasks/2",
        data: { taskId: 2, responseId: 2 },
      },
    ],
  },
  {
    write: "update responses set status = 'rejected' where id = 2",
    told: [
      {
        who: EXECUTOR,
        type: "response.rejected",
        link: "/tasks/2",
        data: { taskId: 2, responseId: 2 },
      },
    ],
  },
  {
    write: "update responses set status = 'accepted' where id = 1",
    told: [
      {
        who: EXECUTOR,
        type: "response.accepted",
        link: "/tasks/1",
        data: { taskId: 1, responseId: 1 },
      },
    ],
  },
  {
    write: "update tasks set executor_id = 2, status = 'in_progress' where id = 1",
    told: [{ who: EXECUTOR, type: "task.assigned", link: "/tasks/1", data: { taskId: 1 } }],
  },
  {
    write: "insert into messages (sender_id, task_id, body) values (2, 1, 'A draft')",
    told: [
      { who: CUSTOMER, type: "task.message", link: "/tasks/1", data: { taskId: 1, messageId: 2 } },
    ],
  },
  {
    write: "insert into hire_requests (customer_id, executor_id, task_id) values (1, 2, 2)",
    told: [
      {
        who: EXECUTOR,
        type: "hire.requested",
        link: "/hire/1",
        data: { hireRequestId: 1, taskId: 2 },
      },
    ],
  },
  {
    write: "update hire_requests set status = 'rejected' where id = 1",
    told: [
      {
        who: CUSTOMER,
        type: "hire.rejected",
        link: "/hire/1",
        data: { hireRequestId: 1, taskId: 2 },
      },
    ],
  },
  {
    write: "update hire_requests set status = 'accepted' where id = 1",
    told: [
      {
        who: CUSTOMER,
        type: "hire.accepted",
        link: "/hire/1",
        data: { hireRequestId: 1, taskId: 2 },
      },
    ],
  },
  {
    write: "update tasks set status = 'completed' where id = 1",
    told: [
      { who: CUSTOMER, type: "task.completed", link: "/tasks/1", data: { taskId: 1 } },
      { who: EXECUTOR, type: "task.completed", link: "/tasks/1", data: { taskId: 1 } },
    ],
  },
  {
    write: "insert into reviews (task_id, author_id, recipient_id, rating) values (1, 1, 2, 5)",
    told: [
      {
        who: EXECUTOR,
        type: "review.received",
        link: "/tasks/1",
        data: { taskId: 1, reviewId: 1, rating: 5 },
      },
    ],
  },
  {
    write: "update tasks set status = 'cancelled', executor_id = 2 where id = 2",
    told: [
      { who: EXECUTOR, type: "task.assigned", link: "/tasks/2", data: { taskId: 2 } },
      { who: CUSTOMER, type: "task.cancelled", link: "/tasks/2", data: { taskId: 2 } },
      { who: EXECUTOR, type: "task.cancelled", link: "/tasks/2", data: { taskId: 2 } },
    ],
  },
];

describe("the marketplace's rules notify through the stream", () => {
  test("for every step above, by a plain SQL write, and nobody else is notified", async () => {
    const service = await startService({ databaseUrl: database.url });
    const streams = new Map(
      await Promise.all(
        [CUSTOMER, EXECUTOR, "3"].map(
          async (who) => [who, await openStream(service, String(who))] as const,
        ),
      ),
    );
    await Promise.all(
      [...streams.values()].map((stream) => stream.waitFor(({ event }) => event === "ready")),
    );
    for (const { write, told } of STORY) {
      await database.query(write);
      for (const [who, stream] of streams) {
        const expected = told.filter((one) => one.who === who);
        const got = await stream.take(expected.length);
        expect(
          got.map(({ data: { type, link, data } }) => ({ who, type, link, data })),
          write,
        ).toMatchObject(expected);
      }
    }
    await database.query("select bellwire.notify(id::text, 'sentinel') from users");
    for (const stream of streams.values())
      expect((await stream.take(1)).map(({ data }) => data.type)).toEqual(["sentinel"]);
  });

  test("and the streams of a blocked user end", async () => {
    const service = await startService({ databaseUrl: database.url });
    const token = await service.token("4");
    const stream = await openStream(service, "4", { token });
    await stream.waitFor(({ event }) => event === "ready");
    await database.query("update users set blocked = true where id = 4");
    await stream.ended;
    expect(stream.events.at(-1)).toMatchObject({ event: "auth", data: { reason: "revoked" } });
    // The same token. One that is issued a second later would be valid.
    expect((await openStream(service, "4", { token })).status).toBe(401);
  });
});

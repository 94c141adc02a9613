import { afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";

/** The columns of a notification, without nulls and empty data. */
type Told = {
  type: string;
  to: string;
  by?: string;
  title?: string;
  body?: string;
  link?: string;
  data?: Record<string, unknown>;
};

// Users: 1 Anna, a customer; 2 Boris, an executor; 3 Clara, somebody else. Task 1 is open and Anna's; task 2 is
// Anna's and Boris does it. Response 1, hire request 1: Boris's to Anna, pending.
const SETUP = `
  truncate public.users, public.tasks, public.messages, public.responses, public.hire_requests, public.reviews
    restart identity;
  insert into public.users (name) values ('Anna'), ('Boris'), ('Clara');
  insert into public.tasks (customer_id, executor_id, title, status)
  values (1, null, 'A logo', 'open'), (1, 2, 'A "shop"', 'in_progress');
  insert into public.responses (task_id, user_id) values (1, 2);
  insert into public.hire_requests (customer_id, executor_id, task_id) values (1, 2, 1);
  truncate bellwire.notifications, bellwire.revocations;
`;

/** Begins a transaction for one test, with the ids that follow those of SETUP: a rollback leaves sequences as they are. */
const BEGIN = `
  begin;
  select setval('public.messages_id_seq', 1, false), setval('public.responses_id_seq', 1), setval('public.hire_requests_id_seq', 1),
         setval('public.reviews_id_seq', 1, false);
`;

/** One write, and the notifications that it makes. */
const TOLD: [title: string, write: string, told: Told[]][] = [
  [
    "a message without a task tells its recipient",
    "insert into messages (sender_id, recipient_id, body) values (1, 2, 'Hello 🔔')",
    [
      {
        type: "message.received",
        to: "2",
        by: "1",
        title: "Anna sent you a message",
        body: "Hello 🔔",
        link: "/messages/1",
        data: { messageId: 1, actorName: "Anna" },
      },
    ],
  ],
  [
    "a message with only a file says the file's name",
    "insert into messages (sender_id, recipient_id, body, file_name) values (1, 2, '', 'offer.pdf'), (1, 3, null, 'b.png')",
    [
      {
        type: "message.received",
        to: "2",
        by: "1",
        title: "Anna sent you a message",
        body: "offer.pdf",
        link: "/messages/1",
        data: { messageId: 1, actorName: "Anna" },
      },
      {
        type: "message.received",
        to: "3",
        by: "1",
        title: "Anna sent you a message",
        body: "b.png",
        link: "/messages/1",
        data: { messageId: 2, actorName: "Anna" },
      },
    ],
  ],
  [
    "a message with a file and a text says the text",
    "insert into messages (sender_id, recipient_id, body, file_name) values (1, 2, 'See', 'offer.pdf')",
    [
      {
        type: "message.received",
        to: "2",
        by: "1",
        title: "Anna sent you a message",
        body: "See",
        link: "/messages/1",
        data: { messageId: 1, actorName: "Anna" },
      },
    ],
  ],
  [
    "a customer's message in a task tells the executor",
    "insert into messages (sender_id, recipient_id, task_id, body) values (1, 2, 2, 'When?')",
    [
      {
        type: "task.message",
        to: "2",
        by: "1",
        title: 'Anna wrote in "A "shop""',
        body: "When?",
        link: "/tasks/2",
        data: { taskId: 2, messageId: 1, actorName: "Anna", taskTitle: 'A "shop"' },
      },
    ],
  ],
  [
    "an executor's message in a task tells the customer, even if it names another recipient",
    "insert into messages (sender_id, recipient_id, task_id, file_name) values (2, 3, 2, 'plan.pdf')",
    [
      {
        type: "task.message",
        to: "1",
        by: "2",
        title: 'Boris wrote in "A "shop""',
        body: "plan.pdf",
        link: "/tasks/2",
        data: { taskId: 2, messageId: 1, actorName: "Boris", taskTitle: 'A "shop"' },
      },
    ],
  ],
  [
    "a message in a task without an executor tells the customer; the customer's own, the recipient it names",
    "insert into messages (sender_id, recipient_id, task_id, body) values (3, null, 1, 'I could'), (1, 3, 1, 'Do')",
    [
      {
        type: "task.message",
        to: "1",
        by: "3",
        title: 'Clara wrote in "A logo"',
        body: "I could",
        link: "/tasks/1",
        data: { taskId: 1, messageId: 1, actorName: "Clara", taskTitle: "A logo" },
      },
      {
        type: "task.message",
        to: "3",
        by: "1",
        title: 'Anna wrote in "A logo"',
        body: "Do",
        link: "/tasks/1",
        data: { taskId: 1, messageId: 2, actorName: "Anna", taskTitle: "A logo" },
      },
    ],
  ],
  [
    "a response tells the task's customer",
    "insert into responses (task_id, user_id, message, price) values (1, 3, 'For 90', 90)",
    [
      {
        type: "response.received",
        to: "1",
        by: "3",
        title: 'Clara responded to "A logo"',
        body: "For 90",
        link: "/tasks/1",
        data: { taskId: 1, responseId: 2, actorName: "Clara", taskTitle: "A logo" },
      },
    ],
  ],
  ...["accepted", "rejected"].map((status): [string, string, Told[]] => [
    `a response that is ${status} tells who responded`,
    `update responses set status = '${status}'`,
    [
      {
        type: `response.${status}`,
        to: "2",
        by: "1",
        title: `Anna ${status} your response to "A logo"`,
        link: "/tasks/1",
        data: { taskId: 1, responseId: 1, actorName: "Anna", taskTitle: "A logo" },
      },
    ],
  ]),
  [
    "a hire request tells the executor",
    "insert into hire_requests (customer_id, executor_id, task_id, message) values (1, 3, 1, 'Please')",
    [
      {
        type: "hire.requested",
        to: "3",
        by: "1",
        title: "Anna wants to hire you",
        body: "Please",
        link: "/hire/2",
        data: { hireRequestId: 2, taskId: 1, actorName: "Anna" },
      },
    ],
  ],
  [
    "a hire request without a task tells the executor",
    "insert into hire_requests (customer_id, executor_id) values (1, 3)",
    [
      {
        type: "hire.requested",
        to: "3",
        by: "1",
        title: "Anna wants to hire you",
        link: "/hire/2",
        data: { hireRequestId: 2, taskId: null, actorName: "Anna" },
      },
    ],
  ],
  ...["accepted", "rejected"].map((status): [string, string, Told[]] => [
    `a hire request that is ${status} tells the customer`,
    `update hire_requests set status = '${status}'`,
    [
      {
        type: `hire.${status}`,
        to: "1",
        by: "2",
        title: `Boris ${status} your hire request`,
        link: "/hire/1",
        data: { hireRequestId: 1, taskId: 1, actorName: "Boris" },
      },
    ],
  ]),
  [
    "a review tells the reviewed user",
    "insert into reviews (task_id, author_id, recipient_id, rating, comment) values (2, 1, 2, 5, 'Great')",
    [
      {
        type: "review.received",
        to: "2",
        by: "1",
        title: "Anna reviewed you: 5 of 5",
        body: "Great",
        link: "/tasks/2",
        data: { taskId: 2, reviewId: 1, rating: 5, actorName: "Anna" },
      },
    ],
  ],
  [
    "a task that gets an executor tells the executor",
    "update tasks set executor_id = 2, status = 'in_progress' where id = 1",
    [
      {
        type: "task.assigned",
        to: "2",
        by: "1",
        title: 'Anna chose you for "A logo"',
        link: "/tasks/1",
        data: { taskId: 1, actorName: "Anna", taskTitle: "A logo" },
      },
    ],
  ],
  [
    "a task that gets another executor tells the new one",
    "update tasks set executor_id = 3 where id = 2",
    [
      {
        type: "task.assigned",
        to: "3",
        by: "1",
        title: 'Anna chose you for "A "shop""',
        link: "/tasks/2",
        data: { taskId: 2, actorName: "Anna", taskTitle: 'A "shop"' },
      },
    ],
  ],
  ...["completed", "cancelled"].map((status): [string, string, Told[]] => [
    `a task that is ${status} tells customer and executor, without an actor`,
    `update tasks set status = '${status}' where id = 2`,
    ["1", "2"].map((to) => ({
      type: `task.${status}`,
      to,
      title: `Task "A "shop"" was ${status}`,
      link: "/tasks/2",
      data: { taskId: 2, taskTitle: 'A "shop"' },
    })),
  ]),
  [
    "a task without an executor that is cancelled tells the customer",
    "update tasks set status = 'cancelled' where id = 1",
    [
      {
        type: "task.cancelled",
        to: "1",
        title: 'Task "A logo" was cancelled',
        link: "/tasks/1",
        data: { taskId: 1, taskTitle: "A logo" },
      },
    ],
  ],
];

/** Writes that tell nobody. */
const TOLD_NOBODY: [title: string, write: string][] = [
  [
    "a message to oneself",
    "insert into messages (sender_id, recipient_id, body) values (1, 1, 'x')",
  ],
  ["a message to nobody", "insert into messages (sender_id, body) values (1, 'x')"],
  [
    "a customer's message to nobody in a task without an executor",
    "insert into messages (sender_id, task_id, body) values (1, 1, 'x')",
  ],
  ["a changed message", "update messages set body = 'y'"],
  [
    "a response of the customer to their own task",
    "insert into responses (task_id, user_id) values (1, 1)",
  ],
  ["a response's new price", "update responses set price = 5, message = 'cheaper'"],
  ["a response's same status", "update responses set status = 'pending'"],
  ["a hire request's new message", "update hire_requests set message = 'y'"],
  ["a hire request's same status", "update hire_requests set status = status"],
  [
    "a hire request to oneself",
    "insert into hire_requests (customer_id, executor_id) values (1, 1)",
  ],
  [
    "a review of oneself",
    "insert into reviews (task_id, author_id, recipient_id, rating) values (2, 1, 1, 5)",
  ],
  ["a new task", "insert into tasks (customer_id, title) values (1, 'x')"],
  ["a task's new title and price", "update tasks set title = 'x', price = 5"],
  [
    "a task's same executor and status",
    "update tasks set executor_id = executor_id, status = status",
  ],
  ["a task that loses its executor", "update tasks set executor_id = null where id = 2"],
  ["a task that is opened or begun", "update tasks set status = 'in_progress' where id = 1"],
  ["a customer who does it alone", "update tasks set executor_id = 1 where id = 1"],
  ["an update of no row", "update tasks set status = 'completed' where id = 99"],
  ["deletes", "delete from responses; delete from hire_requests; delete from messages"],
];

describe.each(inject("servers"))("the marketplace on $name", (server) => {
  let database: TestDatabase;
  let query: TestDatabase["query"];

  beforeAll(async () => {
    database = await createDatabase(server);
    query = database.query;
    await query(SETUP);
    return () => database.close();
  });

  beforeEach(() => query(BEGIN));
  afterEach(() => query("rollback"));

  /** All notifications. Fails when a rule failed. */
  async function listTold() {
    expect(await query("select * from bellwire.rule_errors")).toEqual([]);
    const rows = await query<{ told: Told }>(
      `select jsonb_strip_nulls(to_jsonb(n) - 'data') || jsonb_build_object('data', n.data) as told
         from (select type, recipient_id as "to", actor_id as by, title, body, link, data
                 from bellwire.notifications order by id) n`,
    );
    return rows.map(({ told }) => told);
  }

  test.each(TOLD)("%s", async (_, write, told) => {
    await query(write);
    expect(await listTold()).toEqual(told);
  });

  test.each(TOLD_NOBODY)("%s tells nobody", async (_, write) => {
    await query(write);
    expect(await listTold()).toEqual([]);
  });

  test("a status that is set again tells once", async () => {
    await query("update responses set status = 'accepted'");
    await query("update responses set status = 'accepted', price = 7");
    await query("update tasks set status = 'completed' where id = 2");
    await query("update tasks set status = 'completed' where id = 2");
    expect((await listTold()).map(({ type }) => type)).toEqual([
      "response.accepted",
      "task.completed",
      "task.completed",
    ]);
  });

  test.each([
    ["140 characters are left alone", "x".repeat(140), "x".repeat(140)],
    ["141 are cut to 140, the last an ellipsis", "x".repeat(141), `${"x".repeat(139)}…`],
    ["characters are counted, not bytes", "🔔".repeat(140), "🔔".repeat(140)],
    [
      "a space before the ellipsis is removed",
      `${"x".repeat(138)} ${"y".repeat(9)}`,
      `${"x".repeat(138)}…`,
    ],
    ["a megabyte is cut", "я".repeat(500_000), `${"я".repeat(139)}…`],
    ["line ends and quotes stay", `"it's"\n<b>`, `"it's"\n<b>`],
  ])("a body is previewed: %s", async (_, text, preview) => {
    await query("insert into messages (sender_id, recipient_id, body) values (1, 2, $1)", [text]);
    await query("insert into responses (task_id, user_id, message) values (1, 3, $1)", [text]);
    await query("insert into hire_requests (customer_id, executor_id, message) values (1, 2, $1)", [
      text,
    ]);
    await query(
      "insert into reviews (task_id, author_id, recipient_id, rating, comment) values (2, 1, 2, 1, $1)",
      [text],
    );
    expect((await listTold()).map(({ body }) => body)).toEqual(Array(4).fill(preview));
  });

  test("one statement that changes many rows tells each recipient of its own row", async () => {
    await query("insert into responses (task_id, user_id) values (1, 3), (2, 3)");
    await query("delete from bellwire.notifications");
    await query(
      "update responses set status = case when user_id = 3 then 'rejected' else 'accepted' end",
    );
    expect((await listTold()).map(({ type, to, link }) => [type, to, link]).sort()).toEqual([
      ["response.accepted", "2", "/tasks/1"],
      ["response.rejected", "3", "/tasks/1"],
      ["response.rejected", "3", "/tasks/2"],
    ]);
  });

  test("a user who becomes blocked is revoked; no other change of a user revokes", async () => {
    const listRevoked = () =>
      query("select recipient_id from bellwire.revocations order by recipient_id");
    await query("update users set name = 'Anne' where id = 1");
    await query("update users set blocked = false");
    expect(await listRevoked()).toEqual([]);
    await query("update users set blocked = true where id in (1, 3)");
    expect(await listRevoked()).toEqual([{ recipient_id: "1" }, { recipient_id: "3" }]);
    await query("delete from bellwire.revocations");
    await query("update users set blocked = true, name = 'Anna'where id = 1");
    await query("update users set blocked = false");
    expect(await listRevoked()).toEqual([]);
    expect(await listTold()).toEqual([]);
  });

  test("blocking a user succeeds when the revocation fails, and the error is recorded", async () => {
    await query("alter table bellwire.revocations rename to lost");
    await query("update users set blocked = true where id = 1");
    expect(await query("select rule, sqlstate from bellwire.rule_errors")).toEqual([
      { rule: "user_blocked", sqlstate: "42P01" },
    ]);
  });

  test("all of its rules are enabled", async () => {
    expect(
      await query(
        "select count(*)::int as rules, bool_and(enabled) as enabled from bellwire.rules",
      ),
    ).toEqual([{ rules: 9, enabled: true }]);
  });
});

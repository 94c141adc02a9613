import { readFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/logger.ts";
import { migrate } from "../../src/migrate/migrate.ts";
import { createDatabase } from "../support/database.ts";

const FOLDER = new URL("../../examples/", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, FOLDER), "utf8");
const linesOf = (text: string) => text.split("\n").filter((line) => line.trim() !== "");

test("the rules of the marketplace on Prisma tell who they say", async () => {
  const database = await createDatabase(undefined, { empty: true });
  onTestFinished(() => database.close());
  await database.query(read("nextjs-prisma/prisma/migrations/0001_marketplace/migration.sql"));
  await database.query(read("nextjs-prisma/prisma/seed.sql"));
  const rules = "examples/nextjs-prisma/rules";
  await migrate({ url: database.url, folders: [rules], log: createLogger("silent") });

  await database.query(`
    insert into "Task" ("id", "title", "price", "customerId") values ('t', 'A logo', 120, 'anna');
    insert into "Response" ("id", "text", "taskId", "authorId") values ('r', 'By Friday', 't', 'boris');
    insert into "Message" ("id", "text", "taskId", "senderId") values ('m1', 'Which colors?', 't', 'boris');
    update "Response" set "status" = 'ACCEPTED';
    update "Task" set "status" = 'IN_PROGRESS', "executorId" = 'boris';
    insert into "Message" ("id", "text", "taskId", "senderId") values ('m2', 'Blue', 't', 'anna');
    update "Task" set "status" = 'COMPLETED';
    insert into "Review" ("id", "rating", "comment", "taskId", "authorId", "recipientId")
    values ('v', 5, 'Fine work', 't', 'anna', 'boris');
    update "User" set "blocked" = true where "id" = 'boris'`);
  expect(
    await database.query(
      "select recipient_id, actor_id, title, body, link from bellwire.notifications order by id",
    ),
  ).toMatchObject([
    { recipient_id: "anna", title: 'Boris responded to "A logo"', body: "By Friday" },
    { recipient_id: "anna", title: 'Boris in "A logo"', body: "Which colors?" },
    { recipient_id: "boris", actor_id: "anna", title: 'You got the task "A logo"' },
    { recipient_id: "boris", title: 'Anna in "A logo"', body: "Blue" },
    { recipient_id: "boris", title: 'Task "A logo" was completed', link: "/tasks/t" },
    { recipient_id: "boris", title: "Anna gave you 5 of 5", body: "Fine work" },
  ]);
  expect(await database.query("select recipient_id from bellwire.revocations")).toEqual([
    { recipient_id: "boris" },
  ]);
  expect(await database.query("select * from bellwire.rule_errors")).toEqual([]);
});

test("the examples have as many lines for the bell as examples/README.md says", () => {
  const page = linesOf(read("vanilla/index.html"));
  expect(page.filter((line) => /bell/.test(line.replace(/<title>.*/, "")))).toHaveLength(2);
  expect(linesOf(read("react-vite/src/bell.tsx"))).toHaveLength(8);
  const provider = linesOf(read("react-vite/src/main.tsx"));
  expect(provider.filter((line) => line.includes("BellProvider"))).toHaveLength(3);
  const isCode = (line: string) => !/^\s*(\/\*\*|\/\/)/.test(line);
  const bell = linesOf(read("nextjs-prisma/app/bell.tsx")).filter(isCode);
  const layout = linesOf(read("nextjs-prisma/app/layout.tsx"));
  const used = layout.filter((line) => /\bBell\b/.test(line));
  expect(bell.length + used.length).toBe(16);
});

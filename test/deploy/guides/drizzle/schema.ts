import { integer, pgTable, serial, text } from "drizzle-orm/pg-core";

export const tasks = pgTable("tasks", {
  id: serial().primaryKey(),
  title: text().notNull(),
  customerId: integer("customer_id").notNull(),
});

export const responses = pgTable("responses", {
  id: serial().primaryKey(),
  taskId: integer("task_id")
    .notNull()
    .references(() => tasks.id),
  userId: integer("user_id").notNull(),
  message: text().notNull(),
});

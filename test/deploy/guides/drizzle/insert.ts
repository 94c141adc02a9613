import { drizzle } from "drizzle-orm/node-postgres";
import { Pool } from "pg";
import { responses, tasks } from "./schema.ts";

const pool = new Pool({ connectionString: process.env.DATABASE_URL });
const db = drizzle(pool);
const [task] = await db.insert(tasks).values({ title: "A logo", customerId: 1 }).returning();
await db.insert(responses).values({ taskId: task.id, userId: 2, message: "I can do it" });
await pool.end();

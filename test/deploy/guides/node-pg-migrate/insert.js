import pg from "pg";

const client = new pg.Client(process.env.DATABASE_URL);
await client.connect();
const { rows } = await client.query(
  "insert into tasks (title, customer_id) values ('A logo', 1) returning id",
);
await client.query(
  "insert into responses (task_id, user_id, message) values ($1, 2, 'I can do it')",
  [rows[0].id],
);
await client.end();

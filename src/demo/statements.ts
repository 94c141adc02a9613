import pg from "pg";
import { withClient } from "../db/with-client.ts";

type Value = bigint | number | string;
export type Statement = { text: string; values: Value[] };

export function insert(table: string, row: Record<string, Value>): Statement {
  const columns = Object.keys(row);
  const parameters = columns.map((_, i) => `$${i + 1}`).join(", ");
  const text = `insert into ${table} (${columns.join(", ")})\nvalues (${parameters})`;
  return { text, values: Object.values(row) };
}

/** Changes the row only if its status is still `from`. So of two users who act at once, one finds no row. */
export function update(
  table: string,
  id: string,
  from: string,
  row: Record<string, Value>,
): Statement {
  const set = Object.keys(row).map((column, i) => `${column} = $${i + 3}`);
  const text = `update ${table}\nset ${set.join(", ")}\nwhere id = $1 and status = $2`;
  return { text, values: [BigInt(id), from, ...Object.values(row)] };
}

/** Runs all statements or none. False if one of them found no row to change. */
export function write(pool: pg.Pool, statements: Statement[]): Promise<boolean> {
  return withClient(pool, async (client) => {
    if (statements.length === 1) return await runAll(client, statements);
    await client.query("begin");
    const written = await runAll(client, statements);
    await client.query(written ? "commit" : "rollback");
    return written;
  });
}

async function runAll(client: pg.PoolClient, statements: Statement[]): Promise<boolean> {
  for (const { text, values } of statements)
    if ((await client.query(text, values)).rowCount === 0) return false;
  return true;
}

/** The statements with their values filled in, for the page. The statements that ran had parameters. */
export function show(statements: Statement[]): string {
  const texts = statements.map(({ text, values }) => {
    const literal = (value: Value | undefined) =>
      typeof value === "string" ? pg.escapeLiteral(value).trimStart() : String(value);
    return `${text.replace(/\$(\d+)/g, (_, n) => literal(values[n - 1]))};`;
  });
  return texts.length === 1 ? texts.join("") : ["begin;", ...texts, "commit;"].join("\n\n");
}

import type { Pool } from "pg";

export interface RuleErrors {
  rule: string;
  errors: number;
}

/** How often each installed rule has failed. */
export async function countRuleErrors(pool: Pool): Promise<RuleErrors[]> {
  const { rows } = await pool.query<{ name: string; errors: string }>(
    "select name, errors from bellwire.rules",
  );
  return rows.map(({ name, errors }) => ({ rule: name, errors: Number(errors) }));
}

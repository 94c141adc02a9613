import type { Pool } from "pg";

export interface RuleErrors {
  rule: string;
  errors: number;
}

/** How often each rule has failed: all installed rules, and dropped ones that still have recorded errors. */
export async function countRuleErrors(pool: Pool): Promise<RuleErrors[]> {
  const { rows } = await pool.query<{ rule: string; errors: string }>(
    `select coalesce(r.name, e.rule) as rule, coalesce(sum(e.errors), 0) as errors
       from bellwire.rules r
       full join bellwire.rule_errors e on e.rule = r.name
      group by 1`,
  );
  return rows.map(({ rule, errors }) => ({ rule, errors: Number(errors) }));
}

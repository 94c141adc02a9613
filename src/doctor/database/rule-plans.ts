import type { ClientBase } from "pg";
import { isDatabaseError } from "../../migrate/error.ts";
import { type Finding, look } from "../finding.ts";
import { plural } from "../plural.ts";
import { ident } from "./quote.ts";

/** A smaller table is read in a few milliseconds. */
const MANY_ROWS = 10_000;

/**
 * Rules that read a whole large table at each write, because an index is missing. It plans each query for one new row, and runs
 * none. Only a member of bellwire_rules may, and the statistics must know the table's size.
 */
export async function checkRulePlans(client: ClientBase): Promise<Finding[]> {
  const { rows: rules } = await client.query<Rule>(RULES);
  await client.query("set local role bellwire_rules");
  const found: Finding[] = [];
  for (const rule of rules) {
    for (const scan of findScans(await plan(client, rule))) {
      const { rows } = await client.query<{ count: number }>(
        "select reltuples::float8 as count from pg_class where oid = to_regclass($1)",
        [scan.table],
      );
      const count = rows[0]?.count ?? 0;
      if (count > MANY_ROWS) found.push(describe(rule, scan, count));
    }
  }
  return found;
}

interface Rule {
  name: string;
  query: string;
  table: string;
  /** One row of the table, all of it null, as the list of a select. */
  row: string;
}

/** A query that does not fit is a finding of its own. */
async function plan(client: ClientBase, { query, row }: Rule): Promise<Plan | undefined> {
  await client.query("savepoint plan");
  try {
    const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: Plan }] }>(
      `explain (verbose, format json)
       with new_rows as materialized (select ${row}), old_rows as materialized (select ${row})
       select * from (\n${query}\n) as told`,
    );
    return rows[0]?.["QUERY PLAN"][0].Plan;
  } catch (err) {
    if (!isDatabaseError(err)) throw err;
    return undefined;
  } finally {
    await client.query("rollback to savepoint plan");
  }
}

interface Plan {
  "Node Type": string;
  Schema?: string;
  "Relation Name"?: string;
  Alias?: string;
  Filter?: string;
  "Join Filter"?: string;
  "Hash Cond"?: string;
  "Merge Cond"?: string;
  Plans?: Plan[];
}

interface Scan {
  table: string;
  /** The column that is compared with the new row's, if it stands alone in the condition. */
  column: string | undefined;
}

function findScans(plan: Plan | undefined, above: readonly string[] = []): Scan[] {
  if (!plan) return [];
  const conditions = [
    ...above,
    ...[plan.Filter, plan["Join Filter"], plan["Hash Cond"], plan["Merge Cond"]].filter(
      (condition) => condition !== undefined,
    ),
  ];
  const { Schema: schema, "Relation Name": name, Alias: alias } = plan;
  const here =
    plan["Node Type"] === "Seq Scan" && schema && name && alias
      ? [{ table: `${ident(schema)}.${ident(name)}`, column: findColumn(alias, conditions) }]
      : [];
  return [...here, ...(plan.Plans ?? []).flatMap((child) => findScans(child, conditions))];
}

/** From `(o.id = new_rows.owner_id)` of the table called `o`: `id`. */
function findColumn(alias: string, conditions: readonly string[]): string | undefined {
  const column = `${ident(alias).replace(/[.*+?^$()[\]{}|\\]/g, "\\$&")}\\.("[^"]+"|\\w+)`;
  const compared = new RegExp(`\\(${column} = |= ${column}\\)`);
  const [, left, right] = compared.exec(conditions.join(" ")) ?? [];
  return left ?? right;
}

function describe(rule: Rule, { table, column }: Scan, count: number): Finding {
  return look("rule_no_index", {
    seen: `rule ${rule.name} reads all of ${table} (about ${plural(Math.round(count), "row")}) at each write to ${rule.table}`,
    why: "Every such write of the application waits for it.",
    fix: column
      ? `As the owner of the table: create index concurrently on ${table} (${column});`
      : `Create an index that fits the rule's condition on ${table}, then run doctor again. The query: select query from bellwire.rules where name = '${rule.name}';`,
  });
}

const RULES = `
select d.name,
       d.query,
       d.on_table::text as "table",
       string_agg(format('(null::%s).%I', d.on_table, a.attname), ', ' order by a.attnum) as row
  from bellwire.rule_definitions d
  join pg_class c on c.oid = d.on_table
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
 group by d.name, d.query, d.on_table
 order by d.name`;

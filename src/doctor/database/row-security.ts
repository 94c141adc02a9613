import type { ClientBase } from "pg";
import { type Finding, look } from "../finding.ts";

/** Tables that rules may read, and whose policies would hide rows from them. */
export async function checkRowSecurity(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name
       from pg_class c
       join pg_namespace n on n.oid = c.relnamespace
       join pg_roles r on r.rolname = 'bellwire_rules'
      where c.relrowsecurity
        and not r.rolbypassrls
        and n.nspname <> 'bellwire'
        and has_any_column_privilege(r.oid, c.oid, 'select')
      order by 1`,
  );
  return rows.map(({ name }) =>
    look("row_security", {
      seen: `row level security of ${name} hides rows from the rules, which may read that table`,
      why: "A rule that reads it fails rather than overlook rows, and tells nobody.",
      fix: "As an administrator, let rules see all rows: alter role bellwire_rules bypassrls; Or let them read a view that belongs to the table's owner.",
    }),
  );
}

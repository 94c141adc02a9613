import type { ClientBase } from "pg";

/**
 * Logins that may grant the role, for the advice to name users who can follow it: those with its admin option, and superusers. Before
 * PostgreSQL 16 also those with CREATEROLE.
 */
export async function whoMayGrant(client: ClientBase, role: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `select quote_ident(r.rolname) as name
       from pg_roles r
      where r.rolcanlogin
        and (r.rolsuper
             or pg_has_role(r.oid, to_regrole($1), 'usage with admin option')
             or (r.rolcreaterole and current_setting('server_version_num')::integer < 160000))
      order by r.rolsuper, r.rolname
      limit 3`,
    [role],
  );
  return rows.map(({ name }) => name).join(" or ") || "an administrator";
}

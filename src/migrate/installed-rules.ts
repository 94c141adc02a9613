import type { ClientBase } from "pg";

/** A row of bellwire.rules. */
export type InstalledRule = {
  name: string;
  table: string;
  event: string;
  enabled: boolean;
  errors: string;
};

export async function readInstalledRules(client: ClientBase): Promise<InstalledRule[]> {
  const { rows } = await client.query<{ exists: boolean }>(
    "select to_regclass('bellwire.rules') is not null as exists",
  );
  if (!rows[0]?.exists) return [];
  return (await client.query<InstalledRule>("select * from bellwire.rules order by name")).rows;
}

/** `enabled, insert on public.tasks` */
export function describeRule({ enabled, errors, event, table }: InstalledRule): string {
  const state = !enabled ? "not firing" : errors === "0" ? "enabled" : `${errors} errors`;
  return `${state}, ${event} on ${table}`;
}

import { query } from "./contenders.ts";
import { USUAL_TRIGGER } from "./peers/express-sse.ts";

/** Adds users to the example until there are this many. */
export const seedUsers = (count: number) => `
  insert into public.users (name)
  select 'User ' || n
    from generate_series((select count(*) from public.users) + 1, ${count}) n`;

/** The marketplace with this many users and the usual trigger. */
export const prepareExpress = (url: string, users: number) =>
  query(url, seedUsers(users), USUAL_TRIGGER);

/** A metric of a contender, as Prometheus would read it. */
export async function readMetric(metricsAddress: string, name: string): Promise<number> {
  const text = await (await fetch(`${metricsAddress}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`There is no metric ${name}`);
  return Number(value);
}

/** Milliseconds since 1970, the same clock in all processes. */
export const now = () => performance.timeOrigin + performance.now();

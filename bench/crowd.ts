import { query } from "./contenders.ts";
import { USUAL_TRIGGER } from "./peers/express-sse.ts";

/** Fills up the example's users. */
export const seedUsers = (count: number) => `
  insert into public.users (name)
  select 'User ' || n
    from generate_series((select count(*) from public.users) + 1, ${count}) n`;

/** The marketplace with so many users and the usual trigger. */
export const prepareExpress = (url: string, users: number) =>
  query(url, seedUsers(users), USUAL_TRIGGER);

/** A figure of where a contender stands, as Prometheus would read it. */
export async function readMetric(metricsAddress: string, name: string): Promise<number> {
  const text = await (await fetch(`${metricsAddress}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`There is no metric ${name}`);
  return Number(value);
}

/** Milliseconds since 1970, in all processes alike. */
export const now = () => performance.timeOrigin + performance.now();

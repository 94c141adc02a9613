import { query } from "./contenders.ts";
import { USUAL_TRIGGER } from "./peers/express-sse.ts";
import { mintToken } from "./service.ts";

/** Of what each of a crowd asks for. */
export interface Wanted {
  path: string;
  headers?: Record<string, string>;
}

/** Fills up the example's users. */
export const seedUsers = (count: number) => `
  insert into public.users (name)
  select 'User ' || n
    from generate_series((select count(*) from public.users) + 1, ${count}) n`;

/** The streams of users 1 to `count` of Bellwire. */
export const bellwireStreams = (count: number): Promise<Wanted[]> =>
  Promise.all(
    Array.from({ length: count }, async (_, i) => ({
      path: "/api/notifications/stream",
      headers: { authorization: `Bearer ${await mintToken(String(i + 1))}` },
    })),
  );

/** The same of the plain Express server. */
export const expressStreams = (count: number): Wanted[] =>
  Array.from({ length: count }, (_, i) => ({ path: `/stream?recipient=${i + 1}` }));

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

import { mintToken } from "../service.ts";

/** The request for one stream. */
export interface Wanted {
  path: string;
  headers?: Record<string, string>;
}

/** The streams of users 1 to `count` of Bellwire. */
export const bellwireStreams = (count: number): Promise<Wanted[]> =>
  Promise.all(
    Array.from({ length: count }, async (_, i) => ({
      path: "/api/notifications/stream",
      headers: { authorization: `Bearer ${await mintToken(String(i + 1))}` },
    })),
  );

/** The same for the plain Express server. */
export const expressStreams = (count: number): Wanted[] =>
  Array.from({ length: count }, (_, i) => ({ path: `/stream?recipient=${i + 1}` }));

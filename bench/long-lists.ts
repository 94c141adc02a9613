import { setTimeout as delay } from "node:timers/promises";
import { openOneStream } from "./clients/one-stream.ts";
import { quantile } from "./quantile.ts";
import { mintToken, type startService } from "./service.ts";

const MESSAGES = 40;
const CLIENTS = 4;

/** 100 KB that do not repeat. */
export const SEED_LONG = `
  insert into bellwire.notifications (recipient_id, type, title, body)
  select 'long', 'test', 'A title of a few words', long.body
    from generate_series(1, 100) n
   cross join lateral (
           select string_agg(md5(n::text || i), ' ') as body
             from generate_series(1, 3104) i
         ) long`;

/**
 * From the commit of a notification until its recipient's stream has it, while four clients of another recipient request lists of long
 * bodies again and again. Returns the median and the maximum of each round.
 */
export async function measureBesideLists(
  { address, writer }: Pick<Awaited<ReturnType<typeof startService>>, "address" | "writer">,
  rounds: number,
) {
  let onMessage = () => {};
  const stream = await openOneStream(
    address,
    {
      path: "/api/notifications/stream",
      headers: { authorization: `Bearer ${await mintToken("waiting")}` },
      ready: "event: ready",
    },
    () => onMessage(),
  );

  async function measureMessage(): Promise<number> {
    await delay(20 + 60 * Math.random());
    const arrived = new Promise<number>((resolve) => {
      onMessage = () => resolve(performance.now());
    });
    await writer.query(
      "select bellwire.notify('waiting', 'test', body => 'Message of a few words')",
    );
    const committedAt = performance.now();
    return Math.max(0, (await arrived) - committedAt);
  }

  const headers = { authorization: `Bearer ${await mintToken("long")}` };
  let isOver = false;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!isOver) {
      const response = await fetch(`${address}/api/notifications?limit=100`, { headers });
      if (!response.ok) throw new Error(`a list is ${response.status}`);
      await response.arrayBuffer();
    }
  });
  const medians: number[] = [];
  const longest: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const times: number[] = [];
    for (let i = 0; i < MESSAGES; i++) times.push(await measureMessage());
    medians.push(quantile(times, 0.5));
    longest.push(Math.max(...times));
  }
  isOver = true;
  await Promise.all(clients);
  stream.close();
  return { medians, longest };
}

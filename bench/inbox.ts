import { boundGoal } from "./compare.ts";
import { measureBesideLists, SEED_LONG } from "./long-lists.ts";
import type { Result } from "./result.ts";
import { startService } from "./service.ts";

const ROUNDS = 7;
/** Requests of a round; its time is their mean. */
const READS = 20;
const OWN = 100_000;

const SEED = `
  insert into bellwire.notifications
         (recipient_id, type, title, body, link, data, created_xid, changed_xid)
  select case when n % 3 = 0 then 'heavy' else 'other ' || n % 1000 end,
         'test',
         'A title of a few words',
         'A body of some more: who did what, and where',
         '/tasks/' || n,
         jsonb_build_object('task', n),
         -- of many transactions, as rows are
         (3 + n % 500)::text::xid8,
         (3 + n % 500)::text::xid8
    from generate_series(1, 3 * ${OWN}) n`;

/**
 * The time of each route for one recipient with 100,000 notifications, all unread, among 200,000 of other recipients. Over HTTP on
 * kept connections. Before each round of marking all marks are removed, and the table is vacuumed. Then the time until another
 * recipient has a notification, while four clients request long lists.
 */
export async function inbox(): Promise<Result> {
  const service = await startService({
    async prepare(database) {
      await database.query(SEED);
      await database.query(SEED_LONG);
      await database.query("vacuum analyze bellwire.notifications");
    },
  });
  const { writer } = service;
  const headers = { authorization: `Bearer ${await service.token("heavy")}` };

  async function call(path: string, method = "GET") {
    const response = await fetch(`${service.address}/api/notifications${path}`, {
      method,
      headers,
    });
    // biome-ignore lint/suspicious/noExplicitAny: each scenario knows its answer
    const answer: any = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async function time(work: () => Promise<unknown>): Promise<number> {
    const start = performance.now();
    await work();
    return performance.now() - start;
  }

  async function timeReads(path: string): Promise<number[]> {
    const read = async () => {
      for (let i = 0; i < READS; i++) await call(path);
    };
    await read();
    const times = [];
    for (let i = 0; i < ROUNDS; i++) times.push((await time(read)) / READS);
    return times;
  }

  async function timeMarks(path: string): Promise<number[]> {
    const times = [];
    for (let i = 0; i < ROUNDS; i++) {
      await writer.query(
        "update bellwire.notifications set read_at = null, seen_at = null where recipient_id = 'heavy'",
      );
      await writer.query("vacuum analyze bellwire.notifications");
      let changed = 0;
      times.push(await time(async () => ({ changed } = await call(path, "POST"))));
      if (changed !== OWN) throw new Error(`${path} has changed ${changed}`);
    }
    return times;
  }

  const { cursor } = await call("");
  const { rows } = await writer.query(
    "select id from bellwire.notifications where recipient_id = 'heavy' order by id desc offset 9979 limit 1",
  );
  const results = {
    "first page": await timeReads(""),
    "page 500": await timeReads(`?before=${rows[0].id}`),
    "unread count": await timeReads("/unread-count"),
    "poll, nothing new": await timeReads(`/poll?since=${cursor}`),
    "archived, none are": await timeReads("?filter=archived"),
    "mark all as seen": await timeMarks("/mark-all-seen"),
    "mark all as read": await timeMarks("/mark-all-read"),
  };
  const beside = await measureBesideLists(service, ROUNDS);
  await service.close();
  const figures: Result["figures"] = Object.fromEntries(
    Object.entries(results).map(([request, times]) => [request, { "ms a request": times }]),
  );
  figures["a notification beside four long lists"] = {
    "median ms to its stream": beside.medians,
    "maximum ms": beside.longest,
  };
  return {
    scenario: "inbox",
    what: `The inbox of a recipient who has ${OWN} of ${3 * OWN} notifications, over one HTTP connection. Beside that, four clients at once request lists of 100 rows with bodies of 100 KB, again and again, while another recipient gets notifications. ${ROUNDS} rounds.`,
    figures,
    goals: [
      boundGoal(figures, "poll, nothing new, ms", ["poll, nothing new", "ms a request"], {
        atMost: 5,
      }),
      boundGoal(
        figures,
        "a notification beside four long lists, ms",
        ["a notification beside four long lists", "median ms to its stream"],
        { atMost: 50 },
      ),
    ],
    notes: ["A list is at most 1 MB, and a longer body is truncated (`MAX_EVENT_BYTES`)."],
    place: service.place,
  };
}

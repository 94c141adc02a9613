/**
 * A plain server of the kind one writes in an afternoon: LISTEN, `id > last`, one `res.write` a stream. Better than
 * many in one thing: NOTIFYs that come during a query are answered by one more, not by one each. It does not
 * know who may open a stream, replays nothing, and loses what commits behind a greater id.
 */
import express, { type Response } from "express";
import pg from "pg";

const url = process.argv[2];
const pool = new pg.Pool({ connectionString: url, max: 4 });
const streams = new Map<string, Set<Response>>();
let last = (await pool.query("select coalesce(max(id), 0) as id from notifications")).rows[0].id;
let isReading = false;
let hasMore = false;

async function read() {
  hasMore = true;
  if (isReading) return;
  isReading = true;
  while (hasMore) {
    hasMore = false;
    const { rows } = await pool.query({
      name: "read",
      text: `select id, recipient_id, type, actor_id as "actorId", title, body, link, data,
                    created_at as "createdAt", seen_at as "seenAt", read_at as "readAt", archived_at as "archivedAt"
               from notifications
              where id > $1
              order by id`,
      values: [last],
    });
    for (const { recipient_id, ...notification } of rows) {
      last = notification.id;
      const frame = `event: notification\ndata: ${JSON.stringify(notification)}\nid: ${last}\n\n`;
      for (const res of streams.get(recipient_id) ?? []) res.write(frame);
    }
  }
  isReading = false;
}

const listener = new pg.Client(url);
await listener.connect();
listener.on("notification", () => void read());
await listener.query("listen usual");

const app = express();
app.get("/stream", (req, res) => {
  const recipient = String(req.query.recipient);
  const own = streams.get(recipient) ?? new Set();
  streams.set(recipient, own.add(res));
  res.on("close", () => own.delete(res));
  res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  res.write("event: ready\ndata: {}\n\n");
});
const server = app.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object" && address) process.send?.(`http://127.0.0.1:${address.port}`);
});

/**
 * A plain server that one writes in an afternoon: LISTEN, `id > last`, one `res.write` for each stream. It is better than many in one
 * point: all NOTIFYs that come during a query cause one more query together. It does not authenticate, replays with one query for each
 * stream, and loses a row that commits after a greater id.
 */
import { createServer } from "node:http";
import express, { type Response } from "express";
import pg from "pg";
import { listenAndTell } from "./listening.ts";

const url = process.argv[2];
const pool = new pg.Pool({ connectionString: url, max: 4 });
const streams = new Map<string, Set<Response>>();
let last = (await pool.query("select coalesce(max(id), 0) as id from notifications")).rows[0].id;
let isReading = false;
let hasMore = false;
let replays = 0;

const COLUMNS = `id, recipient_id, type, actor_id as "actorId", title, body, link, data,
                 created_at as "createdAt", seen_at as "seenAt", read_at as "readAt", archived_at as "archivedAt"`;

const encode = (notification: { id: string }) =>
  `event: notification\ndata: ${JSON.stringify(notification)}\nid: ${notification.id}\n\n`;

async function read() {
  hasMore = true;
  if (isReading) return;
  isReading = true;
  while (hasMore) {
    hasMore = false;
    const { rows } = await pool.query({
      name: "read",
      text: `select ${COLUMNS} from notifications where id > $1 order by id`,
      values: [last],
    });
    for (const { recipient_id, ...notification } of rows) {
      last = notification.id;
      const frame = encode(notification);
      for (const res of streams.get(recipient_id) ?? []) res.write(frame);
    }
  }
  isReading = false;
}

const listener = new pg.Client(url);
await listener.connect();
listener.on("notification", () => void read());
await listener.query("listen usual");

/** What a stream has missed: one query for each that reconnects. */
async function replay(recipient: string, lastEventId: string): Promise<string> {
  replays++;
  const { rows } = await pool.query({
    name: "replay",
    text: `select ${COLUMNS} from notifications where recipient_id = $1 and id > $2 order by id`,
    values: [recipient, lastEventId],
  });
  return rows.map(({ recipient_id, ...notification }) => encode(notification)).join("");
}

const app = express();
app.get("/stream", async (req, res) => {
  const recipient = String(req.query.recipient);
  const own = streams.get(recipient) ?? new Set();
  streams.set(recipient, own.add(res));
  res.on("close", () => own.delete(res));
  const lastEventId = req.get("last-event-id");
  const missed = lastEventId ? await replay(recipient, lastEventId) : "";
  res.set({ "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  const retryMs = 2000 + Math.floor(Math.random() * 3000);
  res.write(`retry: ${retryMs}\nevent: ready\ndata: {}\nid: ${lastEventId ?? last}\n\n${missed}`);
});
app.get("/replays", (_req, res) => void res.send(String(replays)));
listenAndTell(createServer(app), Number(process.argv[3]));

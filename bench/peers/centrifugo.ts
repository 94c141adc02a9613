import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { query } from "../contenders.ts";
import { endWithUs } from "../service.ts";
import { findFreePort, installGoProgram, waitForPort } from "./go.ts";

const VERSION = "v6.9.1";

/** The outbox for Centrifugo's PostgreSQL consumer. A trigger fills it besides the notification itself. */
const OUTBOX = `
  create table public.notifications (like bellwire.notifications including all);

  create table public.centrifugo_outbox (
    id         bigint generated always as identity primary key,
    method     text not null,
    payload    jsonb not null,
    partition  bigint not null default 0,
    created_at timestamptz not null default now()
  );

  create function public.messages_publish() returns trigger language plpgsql as $$
  declare
    told public.notifications;
  begin
    insert into public.notifications (recipient_id, type, actor_id, title, body, link, data)
    select new.recipient_id, 'message.received', new.sender_id, sender.name || ' sent you a message', new.body,
           '/messages/' || new.sender_id, jsonb_build_object('messageId', new.id, 'actorName', sender.name)
      from public.users sender
     where sender.id = new.sender_id
    returning * into told;
    insert into public.centrifugo_outbox (method, payload)
    values ('publish', jsonb_build_object('channel', 'user' || told.recipient_id, 'data', to_jsonb(told)));
    perform pg_notify('centrifugo_partition_change', '0');
    return null;
  end;
  $$;

  create trigger messages_publish after insert on public.messages
    for each row execute function public.messages_publish();`;

/** Centrifugo, woken by NOTIFY, with its unidirectional event stream for one channel a user. */
export async function startCentrifugo(databaseUrl: string) {
  const path = await installGoProgram({
    name: "centrifugo",
    package: "github.com/centrifugal/centrifugo/v6",
    version: VERSION,
  });
  await query(databaseUrl, OUTBOX);
  const dir = await mkdtemp(join(tmpdir(), "bellwire-centrifugo-"));
  const port = await findFreePort();
  const config = {
    http_server: { address: "127.0.0.1", port },
    client: { insecure: true },
    uni_sse: { enabled: true },
    log: { level: "error" },
    consumers: [
      {
        enabled: true,
        name: "postgresql",
        type: "postgresql",
        postgresql: {
          dsn: databaseUrl,
          outbox_table_name: "centrifugo_outbox",
          partition_notification_channel: "centrifugo_partition_change",
        },
      },
    ],
  };
  const file = join(dir, "config.json");
  await writeFile(file, JSON.stringify(config));
  const child = spawn(path, [`--config=${file}`], { stdio: ["ignore", "ignore", "inherit"] });
  const exited = endWithUs(child);
  await waitForPort(child, port);
  return {
    address: `http://127.0.0.1:${port}`,
    version: `Centrifugo ${VERSION}`,
    /** The URL of a user's event stream. */
    path(userId: string) {
      const subs = { [`user${userId}`]: {} };
      return `/connection/uni_sse?cf_connect=${encodeURIComponent(JSON.stringify({ subs }))}`;
    },
    async close() {
      child.kill();
      await exited;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

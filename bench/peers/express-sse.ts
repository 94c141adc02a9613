import { readFile } from "node:fs/promises";
import { startScriptServer } from "./script-server.ts";

/**
 * The usual result of a search for "postgres notify trigger": a row trigger writes the notification into a table with the
 * columns and indexes of ours, and sends the row in the payload.
 */
export const USUAL_TRIGGER = `
  create table public.notifications (like bellwire.notifications including all);

  create function public.messages_notify() returns trigger language plpgsql as $$
  begin
    insert into public.notifications (recipient_id, type, actor_id, title, body, link, data)
    select new.recipient_id, 'message.received', new.sender_id, sender.name || ' sent you a message', new.body,
           '/messages/' || new.sender_id, jsonb_build_object('messageId', new.id, 'actorName', sender.name)
      from public.users sender
     where sender.id = new.sender_id;
    perform pg_notify('usual', row_to_json(new)::text);
    return null;
  end;
  $$;

  create trigger messages_notify after insert on public.messages
    for each row execute function public.messages_notify();`;

/** Starts `express-sse-server.ts` on a database with USUAL_TRIGGER. With a port it replaces one that was killed. */
export async function startExpressSse(databaseUrl: string, port = 0) {
  const file = new URL("./express-sse-server.ts", import.meta.url);
  const server = await startScriptServer(file, [databaseUrl, String(port)]);
  return { ...server, version: await expressVersion() };
}

export async function expressVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile("node_modules/express/package.json", "utf8"));
  return `Express ${version}`;
}

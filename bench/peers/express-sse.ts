import { readFile } from "node:fs/promises";
import { spawnScript } from "../clients/script.ts";
import { endWithUs } from "../service.ts";

/**
 * What one finds under "postgres notify trigger": each row's trigger writes the notification, into a table with
 * the columns and indexes of ours, and sends the row along.
 */
export const USUAL_TRIGGER = `
  create table public.notifications (like bellwire.notifications including all);

  create function public.messages_notify() returns trigger language plpgsql as $$
  begin
    insert into public.notifications (recipient_id, type, actor_id, title, body, link, data)
    values (new.recipient_id, 'message.received', new.sender_id, 'New message', new.body,
            '/messages/' || new.sender_id, jsonb_build_object('messageId', new.id));
    perform pg_notify('usual', row_to_json(new)::text);
    return null;
  end;
  $$;

  create trigger messages_notify after insert on public.messages
    for each row execute function public.messages_notify();`;

/** Starts `express-sse-server.ts` on a database with USUAL_TRIGGER. */
export async function startExpressSse(databaseUrl: string) {
  const child = spawnScript(new URL("./express-sse-server.ts", import.meta.url), [databaseUrl]);
  const exited = endWithUs(child);
  const address = await new Promise<string>((resolve, reject) => {
    child.once("message", (message) => resolve(String(message)));
    child.once("exit", () => reject(new Error("the plain Express server did not start")));
  });
  const { version } = JSON.parse(await readFile("node_modules/express/package.json", "utf8"));
  return {
    address,
    version: `Express ${version}`,
    async close() {
      child.kill();
      await exited;
    },
  };
}

import type { ClientBase } from "pg";
import { SUSPEND_ABOVE, WARN_ABOVE } from "../../db/notify-queue.ts";
import { watchQueueSuspects } from "../../db/queue-suspects.ts";
import { broken, type Finding, look, well } from "../finding.ts";

/** Whether NOTIFY is sent, and whether PostgreSQL's queue of notifications has room. The whole cluster shares the queue. */
export async function checkWakeups(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<{ isSuspended: boolean; usage: number }>(
    `select last_value = 1 as "isSuspended", pg_notification_queue_usage() as usage
       from bellwire.wakeups_suspended_for_good`,
  );
  const { isSuspended = false, usage = 0 } = rows[0] ?? {};
  const percent = `${Math.round(usage * 100)} %`;
  const found: Finding[] = [];
  if (isSuspended)
    found.push(
      look("wakeups", {
        seen: "wake-ups are suspended for good: somebody called bellwire.suspend_wakeups()",
        why: "Rows ring only with the sweep, every SWEEP_MS (2 s) instead of at once.",
        fix: "If nobody needs that any more, as a member of bellwire_owner: select bellwire.resume_wakeups();",
      }),
    );
  if (usage > WARN_ABOVE) {
    const holder = await watchQueueSuspects(client).findHolder();
    const pid = /^pid (\d+)/.exec(holder ?? "")?.[1];
    const find = usage > SUSPEND_ABOVE ? broken : look;
    found.push(
      find("notify_queue", {
        seen: `${holder ?? "some session"} keeps the queue of notifications from emptying: it is ${percent} full`,
        why: "That session listens and does not read. When the queue is full, every write that notifies fails at its commit.",
        fix: pid
          ? `End it, as an administrator: select pg_terminate_backend(${pid}); Then find out why its program listens within an open transaction.`
          : "As an administrator, find the session: select pid, usename, state, xact_start, query from pg_stat_activity order by xact_start; and end it with pg_terminate_backend.",
      }),
    );
  }
  if (found.length > 0) return found;
  return [well("wakeups", `wake-ups are sent, and the queue of notifications is ${percent} full`)];
}

import type { ClientBase } from "pg";
import { readTriggerNotes } from "../../migrate/trigger-notes.ts";
import { broken, type Finding } from "../finding.ts";

/** Triggers of the application that call bellwire.notify() or bellwire.revoke() without the right to. */
export async function checkTriggers(client: ClientBase): Promise<Finding[]> {
  const notes = await readTriggerNotes(client);
  return notes.map(({ trigger, calls, role, grants }) =>
    broken("trigger_rights", {
      seen: `trigger ${trigger} calls ${calls}, and ${role} may not`,
      why: `Every write of ${role} that fires the trigger fails.`,
      fix: `As a member of bellwire_owner: ${grants}`,
    }),
  );
}

import type { ClientBase } from "pg";
import { LIMITS } from "../../db/session-limits.ts";
import { type Finding, look, well } from "../finding.ts";
import { ident } from "./quote.ts";

/** What docs/dba.md gives the service's login. */
const VALUES: Record<string, string> = {
  idle_in_transaction_session_timeout: "10s",
  lock_timeout: "8s",
  statement_timeout: "10s",
};

interface Login {
  user: string;
  /** A login for the service alone, and not one that also owns Bellwire or the cluster. */
  isService: boolean;
  missing: string[];
  idleTimeout: string;
}

/** The limits of the sessions of DATABASE_URL's login. Who migrates has none: a migration may take long. */
export async function checkLimits(client: ClientBase): Promise<Finding[]> {
  const { rows } = await client.query<Login>(LOGIN, [LIMITS]);
  const [login] = rows;
  if (!login) throw new Error("a select without from returned no row");
  const { user, isService, missing, idleTimeout } = login;
  if (!isService) return [];
  const found: Finding[] = [];
  if (missing.length > 0)
    found.push(
      look("limits", {
        seen: `${user} has no ${missing.join(", ")}`,
        why: "A session of the service that hangs may hold locks until the kernel gives up, and others wait for it.",
        fix: `As an administrator: ${missing.map((name) => `alter role ${ident(user)} set ${name} = '${VALUES[name]}';`).join(" ")} Then restart the service.`,
      }),
    );
  if (idleTimeout !== "0")
    found.push(
      look("limits", {
        seen: `idle_session_timeout is ${idleTimeout} for ${user}`,
        why: "It ends the LISTEN connection again and again; until the next one, rows wait for the sweep.",
        fix: `As an administrator: alter role ${ident(user)} set idle_session_timeout = 0;`,
      }),
    );
  return found.length > 0
    ? found
    : [well("limits", `the sessions of ${user} cannot hang for long`)];
}

/** The values from before this transaction's own. The timeouts that doctor sets are local to its transaction. */
const LOGIN = `
select current_user as "user",
       session_user = current_user
         and not pg_has_role(to_regrole('bellwire_owner'), 'member')
         and not (select rolsuper from pg_roles where rolname = session_user) as "isService",
       array(select name from pg_settings where name = any ($1) and reset_val = '0' order by name) as missing,
       current_setting('idle_session_timeout') as "idleTimeout"`;

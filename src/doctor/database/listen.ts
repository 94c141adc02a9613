import { createPool } from "../../db/pool.ts";
import { CHANNEL, createProber, DeafError, UnsentError } from "../../db/probe.ts";
import { createLogger } from "../../logger.ts";
import { isDatabaseError, SQLSTATE } from "../../migrate/error.ts";
import { broken, type Finding, look, well } from "../finding.ts";
import type { Reached } from "./server.ts";

const HEAR_MS = 2000;

const LATE = "Until then rows ring only with the sweep, every SWEEP_MS (2 s) instead of at once.";

/**
 * Sends a NOTIFY as the service does, over DATABASE_URL, and listens for it as the service does, over DIRECT_DATABASE_URL. Running
 * services ignore it.
 */
export async function checkListen(sender: Reached, hearer: Reached): Promise<Finding[]> {
  const { client } = hearer.session;
  const pool = createPool({ url: sender.session.target.url, size: 1, log: createLogger("silent") });
  const prober = createProber({
    pool,
    timeoutMs: HEAR_MS,
    async ping() {
      await client.query("select");
    },
  });
  client.on("notification", ({ payload = "" }) => prober.receive(payload));
  try {
    await client.query(`listen ${CHANNEL}`);
    const { ms, isSuspended } = await prober.probe();
    return [
      well(
        "listen",
        isSuspended
          ? "not tested, because wake-ups are suspended"
          : `a NOTIFY${betweenUrls(sender, hearer)} was heard after ${Math.ceil(ms)} ms`,
      ),
    ];
  } catch (err) {
    if (err instanceof DeafError) return [explainDeaf(sender, hearer)];
    if (!(err instanceof UnsentError)) throw err;
    return [explainUnsent(err.cause)];
  } finally {
    await client.query(`unlisten ${CHANNEL}`).catch(() => {}); // the connection was lost, and that was thrown
    await pool.close();
  }
}

function betweenUrls({ session: { target: from } }: Reached, { session: { target: to } }: Reached) {
  return from.name === to.name ? "" : ` over ${from.name}`;
}

function explainDeaf(sender: Reached, hearer: Reached): Finding {
  const { name, user, host, port, database } = hearer.session.target;
  const direct = hearer.server.address ?? "THE-SERVER:5432";
  if (hearer.server.isPooled)
    return broken("listen", {
      seen: `${name} leads through a connection pooler at ${host}:${port}, and no NOTIFY arrives through it`,
      why: `A pooler in transaction mode (PgBouncer, Supabase, Neon's -pooler hosts) does not pass LISTEN on. ${LATE}`,
      fix: `Keep the pooler in DATABASE_URL, and set a direct one besides: DIRECT_DATABASE_URL=postgres://${user}:PASSWORD@${direct}/${database}`,
    });
  return broken("listen", {
    seen: `a NOTIFY${betweenUrls(sender, hearer)} did not arrive over ${name} within ${HEAR_MS / 1000} s`,
    why: LATE,
    fix: `Make ${name} lead straight to the primary, ${sender.server.address ?? "the server"}: no pooler, and no proxy that balances several servers.`,
  });
}

function explainUnsent(cause: unknown): Finding {
  if (isDatabaseError(cause) && cause.code === SQLSTATE.lockNotAvailable)
    return broken("listen", {
      seen: "NOTIFY waits for another session's commit, which does not end",
      why: "Every commit that notifies waits for it too: the application's writes hang.",
      fix: "Usually a synchronous standby is away. See which: show synchronous_standby_names; select * from pg_stat_replication; Bring it back, or take it out of synchronous_standby_names.",
    });
  return look("listen", {
    seen: `not tested: ${cause instanceof Error ? cause.message : String(cause)}`,
    why: "Whether rows ring at once was not seen.",
    fix: "Solve what stands below first, then run doctor again.",
  });
}

import type { ClientBase } from "pg";
import { broken, type Finding, look, well } from "../finding.ts";

const LOOK_MS = 2000;

/** Compares the clocks of this machine and the database's, and takes off half of the round trip. */
export async function checkClock(client: ClientBase, leewayMs: number): Promise<Finding[]> {
  const before = Date.now();
  const { rows } = await client.query<{ ms: number }>(
    "select date_part('epoch', clock_timestamp()) * 1000 as ms",
  );
  const after = Date.now();
  const aheadMs = (rows[0]?.ms ?? 0) - (before + after) / 2;
  const offMs = Math.max(0, Math.abs(aheadMs) - (after - before) / 2);
  if (offMs < LOOK_MS) return [well("clock", "the database's clock and this machine's agree")];
  const trouble = {
    seen: `the database's clock is ${(offMs / 1000).toFixed(0)} s ${aheadMs > 0 ? "ahead of" : "behind"} this machine's`,
    why: "Revocations are dated by the database, tokens by who signs them: good tokens get 401, or revoked ones are accepted.",
    fix: "Run NTP on both machines. See which one is wrong: timedatectl",
  };
  return [offMs > leewayMs ? broken("clock", trouble) : look("clock", trouble)];
}

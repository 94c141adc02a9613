import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import type { Delivery, ReaderLog } from "./readers.ts";
import { groupByRecipient, readTruth, type TruthRow } from "./truth.ts";

export interface SettleOptions {
  postgresUrl: string;
  readers: ReaderLog;
  timeoutMs: number;
  since?: string;
}

/**
 * Waits until every reader has all rows of the table. Then it sends each recipient one more row and waits for it, so
 * that repeated or wrong rows have arrived as well. False after the time limit: the checker then says what is missing.
 * The writers must have stopped.
 */
export async function settle(options: SettleOptions): Promise<boolean> {
  const end = performance.now() + options.timeoutMs;
  if (!(await arrive(options, end))) return false;
  await sendLastRows(options);
  return await arrive(options, end);
}

async function arrive({ postgresUrl, readers, since }: SettleOptions, end: number) {
  const truth = groupByRecipient(await readTruth(postgresUrl, since));
  while (!hasAll(readers, truth)) {
    if (performance.now() > end) return false;
    await delay(100);
  }
  return true;
}

function hasAll({ readers, deliveries }: ReaderLog, truth: ReadonlyMap<string, TruthRow[]>) {
  const seen = seenBy(deliveries);
  return readers.every(({ name, recipientId, isReadById }) =>
    (truth.get(recipientId) ?? []).every(
      ({ id, isRead }) => seen.get(name)?.has(id) && (isReadById?.get(id) ?? isRead) === isRead,
    ),
  );
}

function seenBy(deliveries: readonly Delivery[]): Map<string, Set<string>> {
  const seen = new Map<string, Set<string>>();
  for (const { reader, id } of deliveries) {
    const ids = seen.get(reader);
    if (ids) ids.add(id);
    else seen.set(reader, new Set([id]));
  }
  return seen;
}

async function sendLastRows({ postgresUrl, readers }: SettleOptions): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  for (const recipientId of new Set(readers.readers.map((reader) => reader.recipientId)))
    await client.query("select bellwire.notify($1, 'test', body => 'the last')", [recipientId]);
  await client.end();
}

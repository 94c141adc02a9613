import { expect } from "vitest";
import type { Delivery, ReaderLog } from "./readers.ts";
import { longestSilenceMs, timeToHealMs } from "./silence.ts";
import { groupByRecipient, readTruth, type TruthRow } from "./truth.ts";
import type { Writers } from "./writers.ts";

export interface JudgeOptions {
  postgresUrl: string;
  readers: ReaderLog;
  /** What they logged is checked too; not needed where a test writes its rows itself. */
  writers?: Pick<Writers, "committed" | "rolledBack">;
  /** Only rows with greater ids count; the readers were ready before they came. */
  since?: string;
  /** When the fault was over, by `performance.now()`. */
  faultEndedAt?: number;
}

export interface Verdict {
  /** Rows in the table. */
  sent: number;
  /** Notifications shown, to whomever: more than `sent` where several readers follow one recipient. */
  delivered: number;
  /** In the table and not shown to a reader who should have seen it. */
  lost: number;
  /** Shown to the same reader again. */
  repeated: number;
  /** Shown and not in the table: rolled back. */
  phantoms: number;
  /** Shown on another recipient's stream. */
  misdirected: number;
  /** Read in the table and unread for a reader, or the other way round. */
  stale: number;
  resets: number;
  /** The writers and the table disagree: the database or this suite is wrong. */
  contradictions: number;
  /** Streams that were answered, beyond each reader's first: knocking at a closed door is none. */
  reconnects: number;
  /** The longest time in which something was committed and nothing shown to anybody. */
  longestSilenceMs: number;
  /** From the fault's end until all that was committed before had been shown. */
  healMs: number | undefined;
  /** The first few of everything that is wrong, in words. */
  evidence: string[];
}

const EVIDENCE_OF_A_KIND = 5;

/** Compares what readers were shown with what is in the table at the end. */
export async function judge(options: JudgeOptions): Promise<Verdict> {
  const { postgresUrl, readers, writers, since, faultEndedAt } = options;
  const { deliveries } = readers;
  const truth = await readTruth(postgresUrl, since);
  const findings = {
    ...findWrongDeliveries(deliveries, truth),
    ...findMissing(readers, truth),
    contradictions: writers ? findContradictions(writers, truth) : [],
    resets: readers.resets.map(({ reader, reason }) => `${reader} was reset: ${reason}`),
  };
  const streams = readers.readers.reduce((sum, { statuses }) => sum + (statuses.get(200) ?? 0), 0);
  const committed = writers?.committed ?? new Map<string, number>();
  return {
    sent: truth.length,
    delivered: deliveries.length,
    lost: findings.lost.length,
    repeated: findings.repeated.length,
    phantoms: findings.phantoms.length,
    misdirected: findings.misdirected.length,
    stale: findings.stale.length,
    resets: findings.resets.length,
    contradictions: findings.contradictions.length,
    reconnects: Math.max(0, streams - readers.readers.length),
    longestSilenceMs: longestSilenceMs(deliveries, committed),
    healMs:
      faultEndedAt === undefined ? undefined : timeToHealMs(deliveries, committed, faultEndedAt),
    evidence: Object.entries(findings).flatMap(([kind, found]) =>
      found.slice(0, EVIDENCE_OF_A_KIND).map((text) => `${kind}: ${text}`),
    ),
  };
}

/** That nothing is wrong, and that there was something to go wrong: silence all along is no success. */
export function expectExact(verdict: Verdict, { minReconnects = 1 } = {}): void {
  const { lost, repeated, phantoms, misdirected, stale, resets, contradictions } = verdict;
  const { evidence } = verdict;
  const wrong = { lost, repeated, phantoms, misdirected, stale, resets, contradictions };
  const none = Object.fromEntries(Object.keys(wrong).map((kind) => [kind, 0]));
  expect({ ...wrong, evidence }).toEqual({ ...none, evidence: [] });
  expect(verdict.sent).toBeGreaterThan(0);
  expect(verdict.delivered).toBeGreaterThan(0);
  expect(verdict.reconnects).toBeGreaterThanOrEqual(minReconnects);
}

function findWrongDeliveries(deliveries: readonly Delivery[], truth: readonly TruthRow[]) {
  const rows = new Map(truth.map((row) => [row.id, row]));
  const firsts = new Map<string, Delivery>();
  const found = { repeated: [] as string[], phantoms: [] as string[], misdirected: [] as string[] };
  for (const delivery of deliveries) {
    const { reader, id, body, recipientId } = delivery;
    const row = rows.get(id);
    const first = firsts.get(`${reader} ${id}`);
    if (first) found.repeated.push(`${describe(delivery)}, first ${describe(first)}`);
    else firsts.set(`${reader} ${id}`, delivery);
    if (row?.body !== body) found.phantoms.push(describe(delivery));
    else if (row.recipientId !== recipientId) found.misdirected.push(describe(delivery));
  }
  return found;
}

function findMissing({ readers, deliveries }: ReaderLog, truth: readonly TruthRow[]) {
  const seen = new Set(deliveries.map(({ reader, id }) => `${reader} ${id}`));
  const rows = groupByRecipient(truth);
  const found = { lost: [] as string[], stale: [] as string[] };
  for (const { name, recipientId, isReadById } of readers)
    for (const { id, body, isRead } of rows.get(recipientId) ?? []) {
      const where = `${name} of recipient ${recipientId}, id ${id} (${body})`;
      if (!seen.has(`${name} ${id}`)) found.lost.push(where);
      else if ((isReadById?.get(id) ?? isRead) !== isRead)
        found.stale.push(`${where} is ${isRead ? "read" : "unread"}`);
    }
  return found;
}

function findContradictions(
  { committed, rolledBack }: NonNullable<JudgeOptions["writers"]>,
  truth: readonly TruthRow[],
): string[] {
  const bodies = new Set(truth.map(({ body }) => body));
  return [
    ...[...committed.keys()]
      .filter((body) => !bodies.has(body))
      .map((body) => `${body} was committed and is not in the table`),
    ...[...rolledBack]
      .filter((body) => bodies.has(body))
      .map((body) => `${body} was rolled back and is in the table`),
  ];
}

function describe({ reader, recipientId, id, body, ...rest }: Delivery): string {
  const { connection, resumedFrom = "nowhere", cursor } = rest;
  return (
    `${reader} of recipient ${recipientId}, id ${id} (${body}), on connection ${connection} ` +
    `from ${resumedFrom}, at ${cursor}`
  );
}

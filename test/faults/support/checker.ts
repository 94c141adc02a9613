import { expect } from "vitest";
import type { Delivery, ReaderLog } from "./readers.ts";
import { longestSilenceMs, timeToHealMs } from "./silence.ts";
import { groupByRecipient, readTruth, type TruthRow } from "./truth.ts";
import type { Writers } from "./writers.ts";

export interface JudgeOptions {
  postgresUrl: string;
  readers: ReaderLog;
  /** Their log is checked as well. A test that writes its own rows has no writers. */
  writers?: Pick<Writers, "committed" | "rolledBack">;
  /** Only rows with higher ids count. The readers were ready before these rows were written. */
  since?: string;
  /** The end of the fault, by `performance.now()`. */
  faultEndedAt?: number;
}

export interface Verdict {
  /** Rows in the table. */
  sent: number;
  /** Notifications shown to any reader. This exceeds `sent` where several readers follow one recipient. */
  delivered: number;
  /** In the table, but not shown to a reader of its recipient. */
  lost: number;
  /** Shown to the same reader again. */
  repeated: number;
  /** Shown, but not in the table, because it was rolled back. */
  phantoms: number;
  /** Shown on another recipient's stream. */
  misdirected: number;
  /** Read in the table but unread for a reader, or the other way round. */
  stale: number;
  resets: number;
  /** The writers and the table disagree, so the database or this suite is wrong. */
  contradictions: number;
  /** Opened streams, without the first of each reader. Refused attempts do not count. */
  reconnects: number;
  /** The longest time in which a committed row waited and no reader was shown anything. */
  longestSilenceMs: number;
  /** From the end of the fault until all rows that were committed before had been shown. */
  healMs: number | undefined;
  /** The first few errors of each kind, in words. */
  evidence: string[];
}

const EVIDENCE_OF_A_KIND = 5;

/** Compares what readers were shown with the table. */
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

/** Nothing is wrong, and rows were sent, delivered and resumed: a test in which nothing happens fails. */
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

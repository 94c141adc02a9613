import type { Content } from "./changes.ts";
import { isAssignable, type Snapshot, truncate } from "./snapshot.ts";

/**
 * A reader's position, as sent in every SSE `id`. Exact whatever the commit order, and why:
 *
 * A row says which transaction inserted it and which changed it last. `at` is the set of transactions the
 * reader has. A row visible now, whose transaction is not in `at`, has not been delivered; every other row
 * has. Nothing is compared by id or by time, so a transaction that took its id early and commits late is
 * simply one that is not in `at` yet.
 *
 * One read may give a reader many frames, and a connection may be cut between two of them. So a frame that
 * is not its read's last carries the position before the read (`at`), the snapshot of the read (`upto`),
 * and how far into it the frame is (`place`). Whoever resumes there gets the rest of that read, in the
 * same order, then what came after it.
 */
export interface Cursor {
  /** The history the transaction ids belong to; `bellwire.epoch()`. */
  readonly epoch: string;
  readonly at: Snapshot;
  readonly reading?: Reading;
}

export interface Reading {
  readonly upto: Snapshot;
  readonly place: Place;
}

/**
 * What of a read comes when, each by ascending id. A mark-all first: it is for what the reader has already, and what is
 * otherwise comes behind it. The removed before the new, so that what was taken from somebody and given back is there in the end.
 */
export const STAGES = ["marked", "removed", "new", "changed"] as const;
export type Stage = (typeof STAGES)[number];

/** The numbers that `bellwire.changes_since()` has for them. */
export const stageNumber = (stage: Stage): number => STAGES.indexOf(stage) - 1;
export const stageByNumber = (number: number): Stage | undefined => STAGES[number + 1];

/** Where a read begins. */
export const START: Place = { stage: "marked", id: 0n };

export interface Place {
  readonly stage: Stage;
  readonly id: bigint;
}

/** How far a reader is who has had all this; undefined where it is nothing. */
export function lastPlace({ marked, removed, changes }: Content): Place | undefined {
  const change = changes.at(-1);
  if (change) return { stage: change.isNew ? "new" : "changed", id: change.id };
  const removal = removed.at(-1);
  if (removal) return { stage: "removed", id: removal.id };
  const mark = marked.at(-1);
  return mark && { stage: "marked", id: mark.before };
}

/** A longer `Last-Event-ID` would make a cross-origin request a preflighted one (fetch standard). */
const MAX_LENGTH = 128;

/** No more than this many gaps fit: each takes two characters. */
const MAX_GAPS = 64;

const PATTERN =
  /^v1\.([0-9a-f]{8})\.([0-9a-z]{1,12})\.([0-9a-z-]*)(?:\.([0-9a-z]{1,12})\.([0-9a-z-]*)\.([mrnc])([0-9a-z]{1,13}))?_$/;

/**
 * `v1.<epoch>.<xmax>.<gaps>_`, and within a read `.<how far at's xmax is below>.<at's gaps>.<m|r|n|c><id>` before the `_`,
 * where the first pair is then the read's `upto`. Numbers are base 36; gaps run down from xmax to each
 * transaction in progress. At most 128 characters of `[A-Za-z0-9._-]`: a position that does not fit is
 * replaced by an earlier one that does, from which a few rows may be sent twice and none is lost.
 *
 * `_` stands at the end and nowhere else. Many clients keep what arrived of an id before a cut: without an end mark half an
 * id within a read would say that all of that read has arrived.
 */
export function encodeCursor({ epoch, at, reading }: Cursor): string {
  if (reading) {
    const { upto, place } = reading;
    const lag = encodeNumber(upto.xmax - at.xmax);
    const mark = `${place.stage.charAt(0)}${encodeNumber(place.id)}`;
    const full = `v1.${epoch}.${encodeSnapshot(upto)}.${lag}.${encodeGaps(at)}.${mark}_`;
    if (full.length <= MAX_LENGTH) return full;
  }
  let fitting = truncate(at, at.inProgress[MAX_GAPS] ?? at.xmax);
  for (;;) {
    const text = `v1.${epoch}.${encodeSnapshot(fitting)}_`;
    if (text.length <= MAX_LENGTH) return text;
    // Ending at the newest transaction in progress leaves that one out of the list.
    fitting = truncate(fitting, fitting.inProgress.at(-1) ?? fitting.xmax);
  }
}

/** The cursor a text stands for, or undefined for anything `encodeCursor` did not write. */
export function parseCursor(text: string): Cursor | undefined {
  const match = text.length <= MAX_LENGTH ? PATTERN.exec(text) : null;
  if (!match) return undefined;
  const [, epoch = "", xmax = "", gaps = "", lag, atGaps = "", kind = "", id = ""] = match;
  const last = decodeSnapshot(decodeNumber(xmax), gaps);
  if (!last) return undefined;
  if (lag === undefined) return { epoch, at: last };
  const at = decodeSnapshot(last.xmax - decodeNumber(lag), atGaps);
  const stage = STAGES.find((stage) => stage.startsWith(kind));
  const place = decodeNumber(id);
  if (!at || !stage || place > MAX_BIGINT) return undefined;
  return { epoch, at, reading: { upto: last, place: { stage, id: place } } };
}

const MAX_BIGINT = 2n ** 63n - 1n;

const encodeSnapshot = (snapshot: Snapshot) =>
  `${encodeNumber(snapshot.xmax)}.${encodeGaps(snapshot)}`;

function encodeGaps({ xmax, inProgress }: Snapshot): string {
  let above = xmax;
  return inProgress
    .toReversed()
    .map((xid) => {
      const gap = above - xid;
      above = xid;
      return encodeNumber(gap);
    })
    .join("-");
}

/** Undefined where these are not a snapshot's: a gap of zero, or an id that no transaction has. */
function decodeSnapshot(xmax: bigint, gaps: string): Snapshot | undefined {
  if (!isAssignable(xmax)) return undefined;
  const inProgress: bigint[] = [];
  let below = xmax;
  for (const gap of gaps === "" ? [] : gaps.split("-")) {
    if (gap === "" || gap.length > 12) return undefined;
    const step = decodeNumber(gap);
    below -= step;
    if (step === 0n || !isAssignable(below)) return undefined;
    inProgress.push(below);
  }
  return { xmax, inProgress: inProgress.reverse() };
}

const encodeNumber = (value: bigint) => value.toString(36);

/** `BigInt` reads no base 36; six digits at a time stay exact. */
function decodeNumber(text: string): bigint {
  let value = 0n;
  for (let i = 0; i < text.length; i += 6) {
    const digits = text.slice(i, i + 6);
    value = value * 36n ** BigInt(digits.length) + BigInt(Number.parseInt(digits, 36));
  }
  return value;
}

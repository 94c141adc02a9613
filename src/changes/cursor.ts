import type { Content } from "./changes.ts";
import { isAssignable, type Snapshot, truncate } from "./snapshot.ts";

/**
 * A reader's position, as sent in every SSE `id`. Exact whatever the commit order, and why:
 *
 * Each row stores the transaction that inserted it and the one that changed it last. `at` is the set of transactions whose rows
 * the reader has. A visible row whose transaction is not in `at` has not been delivered. Every other visible row has. Nothing is
 * compared by id or by time: a transaction that began early and commits late is simply not in `at` yet.
 *
 * One read may give a reader many events, and a connection may be cut between two of them. So the cursor of every event but the
 * read's last has three parts: the position before the read (`at`), the snapshot of the read (`upto`), and the event's place in
 * the read (`place`). A reader that resumes there gets the rest of that read, in the same order, and then everything after it.
 */
export interface Cursor {
  /** The history to which the transaction ids belong; `bellwire.epoch()`. */
  readonly epoch: string;
  readonly at: Snapshot;
  readonly reading?: Reading;
}

export interface Reading {
  readonly upto: Snapshot;
  readonly place: Place;
}

/**
 * The order of a read. Within a stage the ids ascend. Mark-alls come first, because they apply to what the reader already has; a
 * row that they do not describe follows as a change. Removals come before new rows, so that a row that was removed and given back
 * is there in the end.
 */
export const STAGES = ["marked", "removed", "new", "changed"] as const;
export type Stage = (typeof STAGES)[number];

/** The numbers that `bellwire.changes_since()` uses for the stages. */
export const stageNumber = (stage: Stage): number => STAGES.indexOf(stage) - 1;
export const stageByNumber = (number: number): Stage | undefined => STAGES[number + 1];

/** The place before a read's first row. */
export const START: Place = { stage: "marked", id: 0n };

export interface Place {
  readonly stage: Stage;
  readonly id: bigint;
}

/** The place of a page's last entry; undefined for an empty page. */
export function lastPlace({ marked, removed, changes }: Content): Place | undefined {
  const change = changes.at(-1);
  if (change) return { stage: change.isNew ? "new" : "changed", id: change.id };
  const removal = removed.at(-1);
  if (removal) return { stage: "removed", id: removal.id };
  const mark = marked.at(-1);
  return mark && { stage: "marked", id: mark.before };
}

/** With a longer `Last-Event-ID`, a browser sends a preflight before a cross-origin request (fetch standard). */
const MAX_LENGTH = 128;

/** More gaps than this do not fit, because each takes at least two characters. */
const MAX_GAPS = 64;

const PATTERN =
  /^v1\.([0-9a-f]{8})\.([0-9a-z]{1,12})\.([0-9a-z-]*)(?:\.([0-9a-z]{1,12})\.([0-9a-z-]*)\.([mrnc])([0-9a-z]{1,13}))?_$/;

/**
 * Writes `v1.<epoch>.<xmax>.<gaps>_` for a position between reads. Within a read it writes
 * `v1.<epoch>.<xmax>.<gaps>.<lag>.<gaps>.<m|r|n|c><id>_`: the snapshot `upto`, how far the `xmax` of `at` is below that of `upto`,
 * the gaps of `at`, and the place. Numbers are base 36. The gaps are the distances from `xmax` down to each transaction in
 * progress.
 *
 * A cursor has at most 128 characters of `[A-Za-z0-9._-]`. A position that does not fit is replaced by an earlier one that does.
 * From there a few rows may be sent twice, and none is lost.
 *
 * `_` is at the end and nowhere else. When a connection is cut within an id, many clients keep the part that arrived. Without an
 * end mark, the first half of an id within a read could look like a whole id, and the rest of that read would be lost.
 */
export const encodeCursor = (cursor: Cursor): string => createCursorEncoder()(cursor);

/**
 * Returns `encodeCursor` for many cursors in a row. The cursors that one read has for all recipients differ only in the place, so the
 * rest is encoded once.
 */
export function createCursorEncoder(): (cursor: Cursor) => string {
  let read: { epoch: string; at: Snapshot; upto: Snapshot; span: string } | undefined;
  let end: { epoch: string; at: Snapshot; text: string } | undefined;

  function spanOf(epoch: string, at: Snapshot, upto: Snapshot): string {
    if (read?.at !== at || read.upto !== upto || read.epoch !== epoch)
      read = { epoch, at, upto, span: encodeSpan(epoch, at, upto) };
    return read.span;
  }

  function wholeOf(epoch: string, at: Snapshot): string {
    if (end?.at !== at || end.epoch !== epoch) end = { epoch, at, text: encodeWhole(epoch, at) };
    return end.text;
  }

  return ({ epoch, at, reading }) => {
    const full = reading && encodePlace(spanOf(epoch, at, reading.upto), reading.place);
    return full !== undefined && full.length <= MAX_LENGTH ? full : wholeOf(epoch, at);
  };
}

/** A cursor within a read, up to its place. */
const encodeSpan = (epoch: string, at: Snapshot, upto: Snapshot) =>
  `v1.${epoch}.${encodeSnapshot(upto)}.${encodeNumber(upto.xmax - at.xmax)}.${encodeGaps(at)}.`;

const encodePlace = (span: string, { stage, id }: Place) =>
  `${span}${stage.charAt(0)}${encodeNumber(id)}_`;

function encodeWhole(epoch: string, at: Snapshot): string {
  let fitting = truncate(at, at.inProgress[MAX_GAPS] ?? at.xmax);
  for (;;) {
    const text = `v1.${epoch}.${encodeSnapshot(fitting)}_`;
    if (text.length <= MAX_LENGTH) return text;
    // Ending at the newest transaction in progress removes that one from the list.
    fitting = truncate(fitting, fitting.inProgress.at(-1) ?? fitting.xmax);
  }
}

/** Reads a cursor. Undefined for any text that `encodeCursor` cannot have written. */
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

/** Undefined if no snapshot can have these values: a gap is zero, or PostgreSQL cannot assign the id. */
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

/** `BigInt` cannot parse base 36. Six digits at a time stay exact in a number. */
function decodeNumber(text: string): bigint {
  let value = 0n;
  for (let i = 0; i < text.length; i += 6) {
    const digits = text.slice(i, i + 6);
    value = value * 36n ** BigInt(digits.length) + BigInt(Number.parseInt(digits, 36));
  }
  return value;
}

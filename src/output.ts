import { constants, fstatSync, openSync, write, writeSync } from "node:fs";

/** Writes lines to standard output or standard error, even if nobody reads them. */
export interface Output {
  /** Takes whole lines. Never throws and never waits. */
  write(lines: string): void;
  /** How many lines could not be written so far. */
  droppedLines(): number;
}

/** Maximum bytes of lines that wait for a reader. */
const MAX_UNWRITTEN_BYTES = 8_000_000;
/** The usual size of a pipe. */
const MAX_WRITE_BYTES = 65_536;
/** Time between two attempts to write to a full pipe. */
const RETRY_MS = 50;
/** At exit the reader has LAST_LINES_MS in all, and LAST_READ_MS for each piece. */
const LAST_LINES_MS = 2000;
const LAST_READ_MS = 500;

/**
 * Writes without waiting, because otherwise a slow reader of the log would block every stream. If a pipe is full, it keeps up to
 * `MAX_UNWRITTEN_BYTES` of lines and writes them later. If a line cannot be written (a full disk, a closed pipe), it drops the waiting
 * lines, and tries again with the next one. When writing works again, it calls `onRecovered` with the number of dropped lines. At
 * exit it writes the remaining lines, within `LAST_LINES_MS`.
 */
export function createOutput(fd: 1 | 2, onRecovered: (lines: number) => void = () => {}): Output {
  let opened: Target | undefined;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let dropped = 0;
  /** Dropped lines that were not reported to `onRecovered` yet. */
  let unreported = 0;
  let isWriting = false;
  let isScheduled = false;
  /** The last bytes that were written end inside a line. */
  let isCut = false;
  /** The rest of that line was dropped, so the next line begins with a line end. */
  let isTorn = false;

  function drop(bytes: Buffer) {
    let lines = 0;
    // No line is empty, so a line end at the start belongs to a torn line.
    for (let at = bytes.indexOf(10, 1); at !== -1; at = bytes.indexOf(10, at + 1)) lines++;
    dropped += lines;
    unreported += lines;
  }

  function writeNext() {
    isScheduled = false;
    if (isWriting || waiting.length === 0) return;
    const piece = nextPiece();
    const { isFile, descriptor } = open();
    // A write to a disk may block, so another thread does it. All other targets are non-blocking.
    if (isFile) {
      isWriting = true;
      write(descriptor, piece, (err, bytes) => {
        isWriting = false;
        afterWrite(err ?? undefined, bytes);
      });
    } else
      try {
        afterWrite(undefined, writeSync(descriptor, piece));
      } catch (err) {
        afterWrite(err, 0);
      }
  }

  function afterWrite(err: unknown, bytes: number) {
    if (err !== undefined && isFull(err)) return schedule(RETRY_MS);
    settle(err, bytes);
    if (waiting.length > 0) return schedule(0);
    if (err === undefined && unreported > 0) {
      const lines = unreported;
      unreported = 0;
      onRecovered(lines);
    }
  }

  /** Joins the oldest waiting lines into one piece, which stays first in the queue. */
  function nextPiece(): Buffer {
    let bytes = 0;
    const count = waiting.findIndex((line) => {
      bytes += line.length;
      return bytes > MAX_WRITE_BYTES;
    });
    const head = waiting.splice(0, count === -1 ? waiting.length : Math.max(1, count));
    const piece = head.length === 1 ? (head[0] as Buffer) : Buffer.concat(head);
    waiting.unshift(piece);
    return piece;
  }

  /** After `bytes` of the first piece were written, or after writing failed. */
  function settle(err: unknown, bytes: number) {
    if (err === undefined) {
      const [piece = Buffer.alloc(0)] = waiting;
      waitingBytes -= bytes;
      if (bytes > 0) isCut = piece[bytes - 1] !== 10;
      if (bytes === piece.length) waiting.shift();
      else waiting[0] = piece.subarray(bytes);
      return;
    }
    for (const line of waiting) drop(line);
    waiting = [];
    waitingBytes = 0;
    isTorn = isCut;
  }

  function schedule(ms: number) {
    if (isScheduled) return;
    isScheduled = true;
    if (ms === 0) setImmediate(writeNext);
    else setTimeout(writeNext, ms).unref();
  }

  function finish() {
    if (isWriting) waiting.shift(); // a thread is writing this piece, and the exit waits for it
    const end = performance.now() + LAST_LINES_MS;
    for (let read = performance.now(); waiting.length > 0; ) {
      try {
        settle(undefined, writeSync(open().descriptor, nextPiece()));
        read = performance.now();
      } catch (err) {
        const now = performance.now();
        if (!isFull(err) || now > end || now > read + LAST_READ_MS) return;
        pause(5);
      }
    }
  }

  /** Opened at the first line, because many commands write none. */
  function open(): Target {
    if (opened) return opened;
    process.once("exit", finish);
    opened = openTarget(fd);
    return opened;
  }

  return {
    write(lines) {
      open();
      const bytes = Buffer.from(isTorn ? `\n${lines}` : lines);
      isTorn = false;
      if (waitingBytes + bytes.length > MAX_UNWRITTEN_BYTES) return drop(bytes);
      waiting.push(bytes);
      waitingBytes += bytes.length;
      schedule(0);
    },
    droppedLines: () => dropped,
  };
}

interface Target {
  isFile: boolean;
  descriptor: number;
}

/** A descriptor that never blocks a write, unless it is a file. */
function openTarget(fd: 1 | 2): Target {
  // Packages write as well: Express's deprecations go to standard error. No such write may end the process either.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  // If it is a pipe or a socket, Node has now made it non-blocking, and restores it at exit.
  const stream = fd === 1 ? process.stdout : process.stderr;
  if (!stream.isTTY) return { isFile: fstatSync(fd).isFile(), descriptor: fd };
  // A terminal can block, for example after Ctrl-S, so it gets its own non-blocking descriptor.
  const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  try {
    return { isFile: false, descriptor: openSync(`/dev/fd/${fd}`, flags) };
  } catch {
    return { isFile: true, descriptor: fd }; // another thread writes to it, as to a file
  }
}

const isFull = (err: unknown) => err instanceof Error && "code" in err && err.code === "EAGAIN";

const pause = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

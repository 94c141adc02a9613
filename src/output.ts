import { constants, fstatSync, openSync, write, writeSync } from "node:fs";

/** Lines that go to standard output or standard error, whoever reads them or not. */
export interface Output {
  /** Whole lines. Never throws and never waits. */
  write(lines: string): void;
  /** How many lines could not be written so far. */
  droppedLines(): number;
}

/** Of lines that nobody has taken. */
const MAX_UNWRITTEN_BYTES = 8_000_000;
/** A pipe holds so much. */
const MAX_WRITE_BYTES = 65_536;
/** A pipe that was full may have been read by then. */
const RETRY_MS = 50;
/** At the end of the process whoever reads has so long in all, and so long from one piece to the next. */
const LAST_LINES_MS = 2000;
const LAST_READ_MS = 500;

/**
 * Writes without ever waiting, because whoever reads slowly, or not at all, would hold up every stream. To a full pipe it writes
 * later, and holds lines up to `MAX_UNWRITTEN_BYTES`; what cannot be written (a full disk, a closed pipe) it drops, and tries again
 * with the next line. `onRecovered` is told how many lines were dropped, when one can be written again. What is left when
 * the process ends is written then, within `LAST_LINES_MS`.
 */
export function createOutput(fd: 1 | 2, onRecovered: (lines: number) => void = () => {}): Output {
  let opened: Target | undefined;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let dropped = 0;
  /** Of those dropped, how many nobody has been told of. */
  let untold = 0;
  let isWriting = false;
  let isDue = false;
  /** What was written last ends within a line. */
  let isCut = false;
  /** The rest of that line was dropped, so the next line begins with a line end. */
  let isTorn = false;

  function drop(bytes: Buffer) {
    let lines = 0;
    // No line is empty: a line end that comes first is of a torn one.
    for (let at = bytes.indexOf(10, 1); at !== -1; at = bytes.indexOf(10, at + 1)) lines++;
    dropped += lines;
    untold += lines;
  }

  function begin() {
    isDue = false;
    if (isWriting || waiting.length === 0) return;
    const piece = nextPiece();
    const { isFile, descriptor } = open();
    // A disk may take its time, so that another thread waits for it. Nothing else can: it is non-blocking.
    if (isFile) {
      isWriting = true;
      write(descriptor, piece, (err, bytes) => {
        isWriting = false;
        goOn(err ?? undefined, bytes);
      });
    } else
      try {
        goOn(undefined, writeSync(descriptor, piece));
      } catch (err) {
        goOn(err, 0);
      }
  }

  function goOn(err: unknown, bytes: number) {
    if (err !== undefined && isFull(err)) return schedule(RETRY_MS);
    settle(err, bytes);
    if (waiting.length > 0) return schedule(0);
    if (err === undefined && untold > 0) {
      const lines = untold;
      untold = 0;
      onRecovered(lines);
    }
  }

  /** The oldest that wait, in one piece, which stays the first of them. */
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

  /** The first piece was written as far as `bytes`, or nothing can be written now. */
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
    if (isDue) return;
    isDue = true;
    if (ms === 0) setImmediate(begin);
    else setTimeout(begin, ms).unref();
  }

  function finish() {
    if (isWriting) waiting.shift(); // is written before the process ends
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

  /** Only when there is something to write: not every log has a line. */
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

/** A descriptor that is written to without waiting, except for a file's. */
function openTarget(fd: 1 | 2): Target {
  const stream = fd === 1 ? process.stdout : process.stderr;
  // Where it is a pipe or a socket, Node has made it non-blocking now, and makes it as it was when the process ends. What
  // Node itself has to say, such as a warning, must not end us either.
  stream.on("error", () => {});
  if (!stream.isTTY) return { isFile: fstatSync(fd).isFile(), descriptor: fd };
  // A terminal it makes wait, as one that Ctrl-S has stopped: it gets a descriptor of its own.
  const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  try {
    return { isFile: false, descriptor: openSync(`/dev/fd/${fd}`, flags) };
  } catch {
    return { isFile: true, descriptor: fd }; // for another thread to wait for
  }
}

const isFull = (err: unknown) => err instanceof Error && "code" in err && err.code === "EAGAIN";

const pause = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

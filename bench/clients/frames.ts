/** Finds the events in the bytes of one connection, wherever they are split. It parses only the requested parts of an event. */
export function createFrameScanner(onFrame: (bytes: Buffer, start: number) => void) {
  let rest: Buffer | undefined;

  return (chunk: Buffer) => {
    const bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
    const end = bytes.lastIndexOf(END) + END.length;
    for (let at = bytes.indexOf(EVENT); at !== -1 && at < end; at = bytes.indexOf(EVENT, at + 1))
      onFrame(bytes, at);
    // After a whole event comes nothing, or the end of a chunk of the transfer encoding. The buffer is reused, so the rest is
    // copied.
    rest = bytes.length > end + 2 ? Buffer.from(bytes.subarray(end)) : undefined;
  };
}

const EVENT = Buffer.from("event: notification\n");
const END = Buffer.from("\n\n");
const BODY = Buffer.from("Message ");

/** The message's `writer/number` (see `pgbench.ts`). */
export function readKey(bytes: Buffer, start: number): string {
  const from = bytes.indexOf(BODY, start) + BODY.length;
  return bytes.toString("latin1", from, bytes.indexOf(SPACE, from));
}

const SPACE = 0x20;

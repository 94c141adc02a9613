/** A complete block of an event stream. */
export interface StreamBlock {
  event: string;
  id: string | undefined;
  data: string | undefined;
  retry: string | undefined;
}

/** Splits an event stream into its complete blocks. An incomplete block at its end is dropped. */
export function createEventReader(onBlock: (block: StreamBlock) => void) {
  let pending: Buffer = Buffer.alloc(0);
  return (bytes: Buffer): void => {
    pending = Buffer.concat([pending, bytes]);
    for (let end = pending.indexOf("\n\n"); end !== -1; end = pending.indexOf("\n\n")) {
      onBlock(parseBlock(pending.toString("utf8", 0, end)));
      pending = pending.subarray(end + 2);
    }
  };
}

function parseBlock(text: string): StreamBlock {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ""));
  }
  return {
    event: fields.get("event") ?? "message",
    id: fields.get("id"),
    data: fields.get("data"),
    retry: fields.get("retry"),
  };
}

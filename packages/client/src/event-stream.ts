export interface ServerEvent {
  name: string;
  data: string;
  id: string | undefined;
  /** How long to wait before the next connection, in milliseconds. */
  retryMs: number | undefined;
}

/**
 * Hands on each event of a Bellwire stream, until the stream ends. Rejects when the connection breaks. Its lines end with LF, and each event
 * is whole or is dropped. https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) onEvent(parse(block));
  }
}

function parse(block: string): ServerEvent {
  const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1];
  const retry = field("retry");
  return {
    name: field("event") ?? "message",
    data: field("data") ?? "",
    id: field("id"),
    retryMs: retry === undefined ? undefined : Number(retry),
  };
}

/** The fields of one event, as they are sent. */
export interface ServerEvent {
  event?: string;
  data?: string;
  id?: string;
  /** How long to wait before the next connection, in milliseconds. */
  retry?: string;
}

/**
 * Hands on each event of a Bellwire stream, until the stream ends. Rejects when the connection breaks. Its lines end with LF, no field is there twice, and
 * each event is whole or is dropped. https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export async function readEvents(
  { body }: Response,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = blocks.pop() as string;
    for (const block of blocks) onEvent(parse(block));
  }
}

const parse = (block: string): ServerEvent =>
  Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/, 2)));

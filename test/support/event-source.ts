import { onTestFinished } from "vitest";
import type { Reachable } from "./service.ts";

/** One event of a stream, parsed as the HTML standard says. */
export interface StreamEvent {
  event: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  data: any;
  id: string | undefined;
}

/** The end of a stream that the service ends: a ping with the time to wait. */
export const LAST_WORDS = /retry: (\d+)\nevent: ping\ndata: \{"time":"[^"]+"\}\n\n$/;

/** Everything that a refused stream sends, with the id that its client sent, if any. */
export const REFUSAL = /^retry: (\d+)\nevent: ping\ndata: \{"time":"[^"]+"\}\n(?:id: (\S+)\n)?\n$/;

export interface OpenOptions {
  lastEventId?: string;
  query?: string;
  token?: string;
}

/**
 * Opens a recipient's stream over a real socket and collects its events. `waitFor` resolves with the first matching event since the
 * start. `take` resolves with the next `count` events of a kind that were not taken yet. Closed when the test ends.
 */
export async function openStream(
  service: Reachable,
  recipientId: string,
  options: OpenOptions = {},
) {
  const abort = new AbortController();
  const response = await fetch(`${service.url}/api/notifications/stream${options.query ?? ""}`, {
    headers: {
      authorization: `Bearer ${options.token ?? (await service.token(recipientId))}`,
      ...(options.lastEventId === undefined ? {} : { "last-event-id": options.lastEventId }),
    },
    signal: abort.signal,
  });
  const events: StreamEvent[] = [];
  const waiting = new Set<() => void>();
  let text = "";
  let isEnded = false;
  const ended = collect();
  onTestFinished(() => abort.abort());

  async function collect() {
    let pending = "";
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        const part = decoder.decode(chunk as Uint8Array, { stream: true });
        text += part;
        pending += part;
        const blocks = pending.split("\n\n");
        pending = blocks.pop() ?? "";
        events.push(...blocks.flatMap(parseBlock));
        for (const check of waiting) check();
      }
    } catch (err) {
      if (!abort.signal.aborted) text += `\n[cut: ${err}]`;
    }
    isEnded = true;
    for (const check of waiting) check();
  }

  function until<T>(find: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = find();
        if (found === undefined && !isEnded) return;
        waiting.delete(check);
        if (found === undefined)
          reject(new Error(`the stream ended before that; it said:\n${text}`));
        else resolve(found);
      };
      waiting.add(check);
      check();
    });
  }

  let taken = 0;
  return {
    status: response.status,
    headers: response.headers,
    events,
    /** Everything received, unchanged. */
    text: () => text,
    waitFor: (fits: (event: StreamEvent) => boolean) => until(() => events.find(fits)),
    /** The next `count` notifications. */
    async take(count: number): Promise<StreamEvent[]> {
      const next = await until(() => {
        const found = events.filter(({ event }) => event === "notification").slice(taken);
        return found.length >= count ? found.slice(0, count) : undefined;
      });
      taken += count;
      return next;
    },
    lastId: () => events.findLast(({ id }) => id !== undefined)?.id,
    ended,
    close: () => abort.abort(),
  };
}

function parseBlock(block: string): StreamEvent[] {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ""));
  }
  const data = fields.get("data");
  if (data === undefined) return [];
  return [
    { event: fields.get("event") ?? "message", data: JSON.parse(data), id: fields.get("id") },
  ];
}

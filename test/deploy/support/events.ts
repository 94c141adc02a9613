import { onTestFinished } from "vitest";
import { createEventReader } from "../../faults/support/event-reader.ts";
import type { Fetch } from "./tls-fetch.ts";

interface Seen {
  event: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it as it likes
  data: any;
  id: string | undefined;
}

/** Opens a stream and collects its events. Closed when the test ends. */
export async function openEvents(fetchIt: Fetch, url: string, headers: Record<string, string>) {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetchIt(url, { headers, signal: abort.signal });
  const events: Seen[] = [];
  const waiting = new Set<() => void>();
  const read = createEventReader(({ event, data = "null", id }) => {
    events.push({ event, data: JSON.parse(data), id });
    for (const check of waiting) check();
  });
  async function collect() {
    try {
      for await (const chunk of response.body ?? []) read(Buffer.from(chunk));
    } catch {
      // cut, by the test or by the proxy
    }
  }
  return {
    headers: response.headers,
    /** Resolves when the stream has ended, whoever ended it. */
    ended: collect(),
    /** The first event that fits, since the start. */
    waitFor: (fits: (event: Seen) => boolean) =>
      new Promise<Seen>((resolve) => {
        const check = () => {
          const found = events.find(fits);
          if (found) resolve(found);
        };
        waiting.add(check);
        check();
      }),
    close: () => abort.abort(),
  };
}

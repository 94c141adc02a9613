import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { expect } from "vitest";
import { closeAfterTest } from "../../../../test/faults/support/close-after-test.ts";
import { startLoop } from "../../../../test/faults/support/loop.ts";

export interface WritingOptions {
  url: string;
  /** Each gets every row. */
  recipients: readonly string[];
  pauseMs: number;
}

/** What went wrong with the rows of one recipient. */
export interface Verdict {
  lost: string[];
  repeated: number;
  /** Told after a newer one. */
  late: string[];
}

export const EXACT: Verdict = { lost: [], repeated: 0, late: [] };

export type Writing = Awaited<ReturnType<typeof startWriting>>;

/** Writes rows with the titles 1, 2, 3 and so on, until it is closed. */
export async function startWriting({ url, recipients, pauseMs }: WritingOptions) {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {}); // the query that waits rejects
  await client.connect();
  closeAfterTest(() => client.end());
  const written: string[] = [];
  const writtenAt: number[] = [];
  const loop = startLoop(async () => {
    const title = String(written.length + 1);
    await client.query(
      "select bellwire.notify(recipient, 'trial', title => $1) from unnest($2::text[]) as recipient",
      [title, recipients],
    );
    written.push(title);
    writtenAt.push(Date.now());
    await delay(pauseMs);
  });
  return {
    /** All titles so far. */
    written,
    /** Compares what was told, in its order, with what was written. */
    verdict(rang: readonly string[]): Verdict {
      const told = new Set(rang);
      return {
        lost: written.filter((title) => !told.has(title)),
        repeated: rang.length - told.size,
        late: rang.filter((title, i) => Number(title) < Number(rang[i - 1])),
      };
    },
    /** How late the latest was, if all came in order at these times. */
    latestMs: (rangAt: readonly number[]) =>
      Math.max(...rangAt.map((at, i) => at - (writtenAt[i] ?? at))),
    /** Resolves when it has written so many more. */
    async more(count: number): Promise<void> {
      const wanted = written.length + count;
      await expect.poll(() => written.length).toBeGreaterThanOrEqual(wanted);
    },
    close: loop.close,
  };
}

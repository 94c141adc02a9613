import { Agent, get } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { closeAfterTest } from "./close-after-test.ts";
import { createRawReader } from "./raw-stream.ts";
import type { Delivery } from "./readers.ts";
import type { ServiceProcess } from "./service-process.ts";

export interface ProbeOptions {
  service: ServiceProcess;
  databaseUrl: string;
}

/** In milliseconds, one for each. */
export interface Waits {
  /** Until the answer to a request to the API, over a kept connection. */
  answers: number[];
  /** From before the insert of a notification until it is on the stream. */
  messages: number[];
}

export type Probe = Awaited<ReturnType<typeof createProbe>>;

/** A client that the fault does not touch. It measures how long it waits meanwhile. */
export async function createProbe({ service, databaseUrl }: ProbeOptions) {
  const recipientId = "somebody else";
  const token = await service.token(recipientId);
  const deliveries: Delivery[] = [];
  const name = "the probe";
  const reader = createRawReader({ name, recipientId, token, address: service.url, deliveries });
  await reader.open();
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  closeAfterTest(async () => {
    agent.destroy();
    await client.end();
  });

  async function request(): Promise<number> {
    const from = performance.now();
    const headers = { authorization: `Bearer ${token}` };
    await new Promise<void>((resolve, reject) => {
      get(`${service.url}/api/notifications/unread-count`, { agent, headers }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        response.resume().on("end", resolve);
      }).on("error", reject);
    });
    return performance.now() - from;
  }

  async function message(): Promise<number> {
    const known = deliveries.length;
    const from = performance.now();
    await client.query("select bellwire.notify($1, 'test', body => 'small')", [recipientId]);
    while (deliveries.length === known) {
      if (performance.now() - from > 60_000) throw new Error("a small message did not arrive");
      await delay(1);
    }
    return (deliveries.at(-1)?.at ?? 0) - from;
  }

  return {
    /** Its reader, for the checker. */
    log: { readers: [reader.reader], deliveries, resets: [] },
    isOpen: reader.isOpen,
    /** Measures this many of each, one after another. */
    async measure(count: number): Promise<Waits> {
      const waits: Waits = { answers: [], messages: [] };
      for (let i = 0; i < count; i++) {
        waits.answers.push(await request());
        waits.messages.push(await message());
        await delay(5);
      }
      return waits;
    },
  };
}

export const p99 = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN;

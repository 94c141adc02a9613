import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import { buildClients, type Client } from "./support/clients.ts";
import { type Answer, chunk, HEAD, LAST_CHUNK, startPeer, status } from "./support/peer.ts";
import { runClient } from "./support/run.ts";

/** Long, so that a client's own waiting time is not taken for this one. */
const TOLD_MS = 20_000;
const LIMIT_MS = 180_000;

let clients: Client[];
beforeAll(async () => {
  clients = await buildClients();
});

/** The cells of a client's row in docs/clients.md. */
function rowOf(client: Client): { waits: string; half: string } {
  const text = readFileSync(new URL("../../docs/clients.md", import.meta.url), "utf8");
  const row = text.split("\n").find((line) => line.includes(`| [\`${client.file}\`]`)) ?? "";
  const [, , , waits = "", half = ""] = row.split("|").map((cell) => cell.trim());
  return { waits, half };
}

/** The word of docs/clients.md for the time between an end and the next request. */
const WAITS: Record<string, [number, number]> = {
  "as told": [0.97, 1.2],
  "about as told": [0.45, 1.6],
  twice: [1.9, 2.2],
  "its own": [0, 0.35],
};

const event = (name: string, id: string, pad = "") =>
  `event: ${name}\ndata: {"id":"${id}","pad":"${pad}"}\n`;
const ready = (id: string, retryMs: number) =>
  chunk(`${event("ready", id)}retry: ${retryMs}\nid: ${id}\n\n`);

const ANSWERS: Answer[] = [
  async (socket) => {
    socket.write(HEAD + ready("a", TOLD_MS));
    await delay(300);
    // The largest line that the default MAX_EVENT_BYTES allows, after an event with an id.
    socket.write(chunk(`${event("notification", "1", "x".repeat(60_000))}id: b\n\n`));
    // Without an id, like a ping.
    socket.write(chunk(`${event("ping", "")}\n`));
    await delay(500);
    socket.end(LAST_CHUNK);
  },
  async (socket) => {
    socket.write(HEAD + ready("c", 300));
    await delay(300);
    // A cut in the middle of an id.
    socket.write(chunk(`${event("notification", "2")}id: half-of-an-i`));
    await delay(300);
    socket.end(LAST_CHUNK);
  },
  (socket) => void socket.end(status("502 Bad Gateway")),
  (socket) => void socket.end(status("429 Too Many Requests")),
  (socket) => void socket.end(status("401 Unauthorized")),
];

test("each client does what docs/clients.md says about it", async () => {
  await Promise.all(
    clients.map(async (client) => {
      const { url, openings } = await startPeer(ANSWERS);
      const { lines, said } = await runClient(client, { url, token: "a-token" });
      const about = () =>
        `${client.name} ${JSON.stringify(openings)} ${lines.map((line) => line.slice(0, 20))} ${said()}`;
      const came = (count: number, timeout: number) =>
        expect
          .poll(() => openings.length >= count, { timeout })
          .toBe(true)
          .then(
            () => true,
            () => false,
          );
      // After an end, after a cut, after a 502 and after a 429.
      expect.soft(await came(ANSWERS.length, LIMIT_MS), about()).toBe(true);
      const isBack = await came(ANSWERS.length + 1, 8000);

      const { waits, half } = rowOf(client);
      const [from, to] = WAITS[waits] ?? [0, 0];
      const [first, second, third] = openings;
      const waited = ((second?.openedAt ?? 0) - (first?.closedAt ?? 0)) / TOLD_MS;
      expect.soft(waited, `${waits}: ${about()}`).toBeGreaterThanOrEqual(from);
      expect.soft(waited, `${waits}: ${about()}`).toBeLessThanOrEqual(to);
      expect.soft(second?.lastEventId, about()).toBe("b");
      expect.soft(third?.lastEventId, about()).toBe(half === "kept" ? "half-of-an-i" : "c");
      const ids = lines.map((line) => JSON.parse(line).id);
      expect.soft(ids, about()).toEqual(half === "kept" ? ["1", "2"] : ["1"]);
      expect.soft(isBack, about()).toBe(false);
    }),
  );
});

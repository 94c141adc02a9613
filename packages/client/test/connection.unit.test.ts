import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { type Api, Failure } from "../src/api.ts";
import { connect } from "../src/connection.ts";
import type { Status } from "../src/keep-trying.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Way = "open" | "silent" | "broken";

/** How these get through to the service. */
interface Ways {
  stream: Way;
  poll: Way;
  waitingPoll: Way;
}

/** A connection to a service, with all ways open unless they are given. */
function start(given: Partial<Ways> = {}) {
  const ways: Ways = { stream: "open", poll: "open", waitingPoll: "open", ...given };
  const polls: number[] = [];
  let status: Status = "connecting";
  const encoder = new TextEncoder();

  /** Like fetch: rejects when the signal is aborted. */
  function go(way: Way, { signal }: RequestInit): Promise<void> {
    if (way === "open") return Promise.resolve();
    if (way === "broken") return Promise.reject(new Failure("away", "no connection"));
    return new Promise((_, reject) =>
      signal?.addEventListener("abort", () => reject(signal.reason)),
    );
  }
  const api = {
    async ask(_: string, init: RequestInit) {
      await go(ways.stream, init);
      return new Response(
        new ReadableStream({
          start(controller) {
            const event = 'event: ready\ndata: {"unread":0,"unseen":0}\nid: 1\n\n';
            controller.enqueue(encoder.encode(event));
            init.signal?.addEventListener("abort", () => controller.error(init.signal?.reason));
          },
        }),
      );
    },
    async json(path: string, init: RequestInit) {
      polls.push(Date.now());
      const waits = !path.endsWith("wait=0");
      await go(waits ? ways.waitingPoll : ways.poll, init);
      if (waits) await new Promise((resolve) => setTimeout(resolve, 20_000));
      return { notifications: [], unread: 0, unseen: 0, cursor: "2" };
    },
  } as unknown as Api;
  const connection = connect({
    api,
    since: "0",
    polls: false,
    onChanges() {},
    onStatus(next) {
      status = next;
    },
    log() {},
  });
  onTestFinished(connection.close);
  return { ways, polls, status: () => status };
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

test("streams that are held back are replaced by polls, and tried again after five minutes", async () => {
  const { ways, status } = start({ stream: "silent" });
  await pass(35);
  expect(status()).toBe("polling");
  ways.stream = "open";
  await pass(240);
  expect(status()).toBe("polling");
  await pass(80);
  expect(status()).toBe("live");
});

test("streams are not held back where polls do not get through either", async () => {
  const { ways, status } = start();
  await pass(1);
  expect(status()).toBe("live");
  ways.stream = ways.poll = ways.waitingPoll = "silent";
  await pass(600);
  expect(status()).toBe("offline");
  ways.stream = ways.poll = ways.waitingPoll = "open";
  await pass(65);
  expect(status()).toBe("live");
});

test("where polls that wait are held back, a poll comes every half a minute, and waiting is tried again", async () => {
  const { ways, polls, status } = start({ stream: "silent", waitingPoll: "silent" });
  await pass(240);
  expect(status()).toBe("polling");
  const pauses = polls.slice(1).map((at, i) => at - (polls[i] as number));
  expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000);
  expect(pauses.slice(-5).every((pause) => pause > 14_000)).toBe(true);
  ways.waitingPoll = "open";
  await pass(240);
  const before = polls.length;
  await pass(100);
  expect(polls.length - before).toBe(5);
});

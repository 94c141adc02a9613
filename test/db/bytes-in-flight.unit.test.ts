import fc from "fast-check";
import { expect, test } from "vitest";
import { createBytesInFlight, type Reservation } from "../../src/db/bytes-in-flight.ts";

let recipients = 0;
/** Each for another recipient, unless one is given. */
const reservation = (recipientId = `${recipients++}`): Reservation => ({ recipientId, bytes: 0 });
const settle = () => new Promise(setImmediate);

test("a request that does not fit waits, and requests are granted first come, first served", async () => {
  const inFlight = createBytesInFlight(100);
  const [a, b, c] = [reservation(), reservation(), reservation()];
  await inFlight.reserve(a, 80);
  const order: string[] = [];
  const waits = [
    inFlight.reserve(b, 50).then(() => order.push("b")),
    // It would fit, but an earlier request waits.
    inFlight.reserve(c, 5).then(() => order.push("c")),
  ];
  await settle();
  expect(order).toEqual([]);
  inFlight.resize(a, 45);
  await Promise.all(waits);
  expect(order).toEqual(["b", "c"]);
  expect(inFlight.reserved()).toBe(45 + 50 + 5);
});

test("a request larger than the limit is granted when nothing else is held, and nothing is granted beside it", async () => {
  const inFlight = createBytesInFlight(100);
  const [small, large, other] = [reservation(), reservation(), reservation()];
  await inFlight.reserve(small, 1);
  let isIn = false;
  const entered = inFlight.reserve(large, 1000).then(() => {
    isIn = true;
  });
  await settle();
  expect(isIn).toBe(false);
  inFlight.close(small);
  await entered;
  const next = inFlight.reserve(other, 1);
  await settle();
  expect(other.bytes).toBe(0);
  inFlight.close(large);
  expect(await next).toBe(true);
});

test("a waiting reservation that is closed is forgotten, and delays no other", async () => {
  const inFlight = createBytesInFlight(100);
  const [a, gone, b] = [reservation(), reservation(), reservation()];
  await inFlight.reserve(a, 100);
  const left = inFlight.reserve(gone, 100);
  const next = inFlight.reserve(b, 60);
  inFlight.close(gone);
  expect(await left).toBe(false);
  expect(await inFlight.reserve(gone, 1)).toBe(false);
  expect(inFlight.grow(gone, 1)).toBe(0);
  inFlight.resize(a, 40);
  expect(await next).toBe(true);
  inFlight.close(a);
  inFlight.close(b);
  expect(inFlight.reserved()).toBe(0);
});

test("a reservation that has waited for maxWaitMs is closed", async () => {
  const inFlight = createBytesInFlight(100);
  const [a, late, b] = [
    reservation(),
    { ...reservation(), maxWaitMs: 10 },
    { ...reservation(), maxWaitMs: 10_000 },
  ];
  await inFlight.reserve(a, 80);
  const next = inFlight.reserve(late, 50);
  const small = inFlight.reserve(b, 20);
  expect([await next, late.isClosed]).toEqual([false, true]);
  inFlight.resize(a, 0);
  expect(await small).toBe(true);
  expect(inFlight.reserved()).toBe(20);
});

test("a reservation grows only into bytes that nobody waits for", async () => {
  const inFlight = createBytesInFlight(100);
  const [a, b] = [reservation(), reservation()];
  await inFlight.reserve(a, 10);
  expect(inFlight.grow(a, 25)).toBe(25);
  const waiting = inFlight.reserve(b, 80);
  inFlight.resize(a, 21);
  expect(inFlight.grow(a, 22)).toBe(21);
  inFlight.resize(a, 0);
  expect(await waiting).toBe(true);
});

test("a recipient holds a quarter of the limit or one reservation, and its further requests delay nobody else", async () => {
  const inFlight = createBytesInFlight(100);
  const [a, b, huge, c] = [
    reservation("me"),
    reservation("me"),
    reservation("me"),
    reservation("me"),
  ];
  expect([await inFlight.reserve(a, 20), inFlight.grow(a, 26)]).toEqual([true, 20]);
  const order: string[] = [];
  const waits = [
    inFlight.reserve(b, 6).then(() => order.push("b")),
    inFlight.reserve(huge, 70).then(() => order.push("huge")),
    inFlight.reserve(c, 1).then(() => order.push("c")),
  ];
  const [other, another] = [reservation(), reservation()];
  expect(await inFlight.reserve(other, 25)).toBe(true);
  // It grows, because the waiting requests could not have these bytes.
  expect([inFlight.grow(other, 26), order]).toEqual([25, []]);
  inFlight.resize(a, 19);
  await settle();
  expect([order, inFlight.reserved()]).toEqual([["b"], 50]);
  inFlight.close(a);
  inFlight.close(b);
  await settle();
  expect([order, inFlight.reserved()]).toEqual([["b", "huge"], 95]);
  inFlight.close(huge);
  await Promise.all(waits);
  expect(await inFlight.reserve(another, 74)).toBe(true);
  for (const each of [c, other, another]) inFlight.close(each);
  expect(inFlight.reserved()).toBe(0);
});

test("of a recipient's waiting requests, only a quarter of the limit stands in the common queue", async () => {
  const inFlight = createBytesInFlight(100);
  const [holder, ...crowd] = [
    reservation(),
    reservation("me"),
    reservation("me"),
    reservation("me"),
  ];
  await inFlight.reserve(holder, 90);
  for (const own of crowd) void inFlight.reserve(own, 20);
  const next = inFlight.reserve(reservation(), 70);
  inFlight.close(holder);
  expect(await next).toBe(true);
  expect(crowd.map(({ bytes }) => bytes)).toEqual([20, 0, 0]);
  inFlight.close(crowd[1] as Reservation);
  inFlight.close(crowd[0] as Reservation);
  expect(crowd.map(({ bytes }) => bytes)).toEqual([0, 0, 20]);
});

test("in any order of requests the limit holds, every request is granted, and in the end nothing is held", async () => {
  const step = fc.record({
    bytes: fc.integer({ min: 1, max: 150 }),
    leavesAfter: fc.integer({ min: 0, max: 5 }),
    recipient: fc.constantFrom("a", "b", "c"),
    keeps: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const inFlight = createBytesInFlight(100);
      let entered = 0;
      const inside = new Set<Reservation>();
      const visits = steps.map(async ({ bytes, leavesAfter, recipient, keeps }) => {
        const own = reservation(recipient);
        expect(await inFlight.reserve(own, bytes)).toBe(true);
        entered++;
        inside.add(own);
        const holders = [...inside].filter((holder) => holder.bytes > 0);
        expect(inFlight.reserved() <= 100 || holders.length === 1).toBe(true);
        const ofIt = holders.filter(({ recipientId }) => recipientId === recipient);
        const its = ofIt.reduce((sum, holder) => sum + holder.bytes, 0);
        expect(its <= 25 || ofIt.length === 1).toBe(true);
        inFlight.resize(own, Math.floor(own.bytes * keeps));
        for (let i = 0; i < leavesAfter; i++) await settle();
        inside.delete(own);
        inFlight.close(own);
      });
      await Promise.all(visits);
      expect([entered, inFlight.reserved()]).toEqual([steps.length, 0]);
    }),
    { numRuns: 100 },
  );
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { createBytesInFlight, type Reservation } from "../../src/db/bytes-in-flight.ts";

let recipients = 0;
/** Each for another recipient, unless one is given. */
const reservation = (recipientId = `${recipients++}`): Reservation => ({ recipientId, bytes: 0 });
const settle = () => new Promise(setImmediate);

test("a request that does not fit waits, and requests are granted first come, first served", async () => {
  const room = createBytesInFlight(100);
  const [a, b, c] = [reservation(), reservation(), reservation()];
  await room.reserve(a, 80);
  const order: string[] = [];
  const waits = [
    room.reserve(b, 50).then(() => order.push("b")),
    // It would fit, but an earlier request waits.
    room.reserve(c, 5).then(() => order.push("c")),
  ];
  await settle();
  expect(order).toEqual([]);
  room.resize(a, 45);
  await Promise.all(waits);
  expect(order).toEqual(["b", "c"]);
  expect(room.reserved()).toBe(45 + 50 + 5);
});

test("a request larger than the limit is granted when nothing else is held, and nothing is granted beside it", async () => {
  const room = createBytesInFlight(100);
  const [small, large, other] = [reservation(), reservation(), reservation()];
  await room.reserve(small, 1);
  let isIn = false;
  const entered = room.reserve(large, 1000).then(() => {
    isIn = true;
  });
  await settle();
  expect(isIn).toBe(false);
  room.close(small);
  await entered;
  const next = room.reserve(other, 1);
  await settle();
  expect(other.bytes).toBe(0);
  room.close(large);
  expect(await next).toBe(true);
});

test("a waiting reservation that is closed is forgotten, and delays no other", async () => {
  const room = createBytesInFlight(100);
  const [a, gone, b] = [reservation(), reservation(), reservation()];
  await room.reserve(a, 100);
  const left = room.reserve(gone, 100);
  const next = room.reserve(b, 60);
  room.close(gone);
  expect(await left).toBe(false);
  expect(await room.reserve(gone, 1)).toBe(false);
  expect(room.grow(gone, 1)).toBe(0);
  room.resize(a, 40);
  expect(await next).toBe(true);
  room.close(a);
  room.close(b);
  expect(room.reserved()).toBe(0);
});

test("a reservation that has waited for maxWaitMs is closed", async () => {
  const room = createBytesInFlight(100);
  const [a, late, b] = [
    reservation(),
    { ...reservation(), maxWaitMs: 10 },
    { ...reservation(), maxWaitMs: 10_000 },
  ];
  await room.reserve(a, 80);
  const next = room.reserve(late, 50);
  const small = room.reserve(b, 20);
  expect([await next, late.isClosed]).toEqual([false, true]);
  room.resize(a, 0);
  expect(await small).toBe(true);
  expect(room.reserved()).toBe(20);
});

test("a reservation grows only into bytes that nobody waits for", async () => {
  const room = createBytesInFlight(100);
  const [a, b] = [reservation(), reservation()];
  await room.reserve(a, 10);
  expect(room.grow(a, 25)).toBe(25);
  const waiting = room.reserve(b, 80);
  room.resize(a, 21);
  expect(room.grow(a, 22)).toBe(21);
  room.resize(a, 0);
  expect(await waiting).toBe(true);
});

test("a recipient holds a quarter of the limit or one reservation, and its further requests delay nobody else", async () => {
  const room = createBytesInFlight(100);
  const [a, b, huge, c] = [
    reservation("me"),
    reservation("me"),
    reservation("me"),
    reservation("me"),
  ];
  expect([await room.reserve(a, 20), room.grow(a, 26)]).toEqual([true, 20]);
  const order: string[] = [];
  const waits = [
    room.reserve(b, 6).then(() => order.push("b")),
    room.reserve(huge, 70).then(() => order.push("huge")),
    room.reserve(c, 1).then(() => order.push("c")),
  ];
  const [other, another] = [reservation(), reservation()];
  expect(await room.reserve(other, 25)).toBe(true);
  // It grows, because the waiting requests could not have these bytes.
  expect([room.grow(other, 26), order]).toEqual([25, []]);
  room.resize(a, 19);
  await settle();
  expect([order, room.reserved()]).toEqual([["b"], 50]);
  room.close(a);
  room.close(b);
  await settle();
  expect([order, room.reserved()]).toEqual([["b", "huge"], 95]);
  room.close(huge);
  await Promise.all(waits);
  expect(await room.reserve(another, 74)).toBe(true);
  for (const each of [c, other, another]) room.close(each);
  expect(room.reserved()).toBe(0);
});

test("of a recipient's waiting requests, only a quarter of the limit stands in the common queue", async () => {
  const room = createBytesInFlight(100);
  const [holder, ...crowd] = [
    reservation(),
    reservation("me"),
    reservation("me"),
    reservation("me"),
  ];
  await room.reserve(holder, 90);
  for (const own of crowd) void room.reserve(own, 20);
  const next = room.reserve(reservation(), 70);
  room.close(holder);
  expect(await next).toBe(true);
  expect(crowd.map(({ bytes }) => bytes)).toEqual([20, 0, 0]);
  room.close(crowd[1] as Reservation);
  room.close(crowd[0] as Reservation);
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
      const room = createBytesInFlight(100);
      let entered = 0;
      const inside = new Set<Reservation>();
      const visits = steps.map(async ({ bytes, leavesAfter, recipient, keeps }) => {
        const own = reservation(recipient);
        expect(await room.reserve(own, bytes)).toBe(true);
        entered++;
        inside.add(own);
        const holders = [...inside].filter((holder) => holder.bytes > 0);
        expect(room.reserved() <= 100 || holders.length === 1).toBe(true);
        const ofIt = holders.filter(({ recipientId }) => recipientId === recipient);
        const its = ofIt.reduce((sum, holder) => sum + holder.bytes, 0);
        expect(its <= 25 || ofIt.length === 1).toBe(true);
        room.resize(own, Math.floor(own.bytes * keeps));
        for (let i = 0; i < leavesAfter; i++) await settle();
        inside.delete(own);
        room.close(own);
      });
      await Promise.all(visits);
      expect([entered, room.reserved()]).toEqual([steps.length, 0]);
    }),
    { numRuns: 100 },
  );
});

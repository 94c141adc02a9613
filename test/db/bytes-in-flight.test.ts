import fc from "fast-check";
import { expect, test } from "vitest";
import { createBytesInFlight, type Share } from "../../src/db/bytes-in-flight.ts";

let recipients = 0;
/** Of somebody else each, unless it says whose. */
const share = (recipientId = `${recipients++}`): Share => ({ recipientId, bytes: 0 });
const settle = () => new Promise(setImmediate);

test("who comes while there is no room waits, and is let in first come, first served", async () => {
  const room = createBytesInFlight(100);
  const [a, b, c] = [share(), share(), share()];
  await room.take(a, 80);
  const order: string[] = [];
  const waits = [
    room.take(b, 50).then(() => order.push("b")),
    // Would fit, but others were here before.
    room.take(c, 5).then(() => order.push("c")),
  ];
  await settle();
  expect(order).toEqual([]);
  room.keep(a, 45);
  await Promise.all(waits);
  expect(order).toEqual(["b", "c"]);
  expect(room.taken()).toBe(45 + 50 + 5);
});

test("what is larger than all the room goes in alone, and nobody beside it", async () => {
  const room = createBytesInFlight(100);
  const [small, large, other] = [share(), share(), share()];
  await room.take(small, 1);
  let isIn = false;
  const entered = room.take(large, 1000).then(() => {
    isIn = true;
  });
  await settle();
  expect(isIn).toBe(false);
  room.leave(small);
  await entered;
  const next = room.take(other, 1);
  await settle();
  expect(other.bytes).toBe(0);
  room.leave(large);
  expect(await next).toBe(true);
});

test("who waits and leaves is forgotten, and holds up nobody", async () => {
  const room = createBytesInFlight(100);
  const [a, gone, b] = [share(), share(), share()];
  await room.take(a, 100);
  const left = room.take(gone, 100);
  const next = room.take(b, 60);
  room.leave(gone);
  expect(await left).toBe(false);
  expect(await room.take(gone, 1)).toBe(false);
  expect(room.grow(gone, 1)).toBe(0);
  room.keep(a, 40);
  expect(await next).toBe(true);
  room.leave(a);
  room.leave(b);
  expect(room.taken()).toBe(0);
});

test("who waits longer than it may leaves", async () => {
  const room = createBytesInFlight(100);
  const [a, late, b] = [share(), { ...share(), maxWaitMs: 10 }, { ...share(), maxWaitMs: 10_000 }];
  await room.take(a, 80);
  const next = room.take(late, 50);
  const small = room.take(b, 20);
  expect([await next, late.hasLeft]).toEqual([false, true]);
  room.keep(a, 0);
  expect(await small).toBe(true);
  expect(room.taken()).toBe(20);
});

test("grows only into what nobody waits for", async () => {
  const room = createBytesInFlight(100);
  const [a, b] = [share(), share()];
  await room.take(a, 10);
  expect(room.grow(a, 25)).toBe(25);
  const waiting = room.take(b, 80);
  room.keep(a, 21);
  expect(room.grow(a, 22)).toBe(21);
  room.keep(a, 0);
  expect(await waiting).toBe(true);
});

test("a recipient has no more than a quarter, or one share, and nobody waits behind what it asks for beyond that", async () => {
  const room = createBytesInFlight(100);
  const [a, b, huge, c] = [share("me"), share("me"), share("me"), share("me")];
  expect([await room.take(a, 20), room.grow(a, 26)]).toEqual([true, 20]);
  const order: string[] = [];
  const waits = [
    room.take(b, 6).then(() => order.push("b")),
    room.take(huge, 70).then(() => order.push("huge")),
    room.take(c, 1).then(() => order.push("c")),
  ];
  const [other, another] = [share(), share()];
  expect(await room.take(other, 25)).toBe(true);
  // Grows, for nobody waits whom it would keep out.
  expect([room.grow(other, 26), order]).toEqual([25, []]);
  room.keep(a, 19);
  await settle();
  expect([order, room.taken()]).toEqual([["b"], 50]);
  room.leave(a);
  room.leave(b);
  await settle();
  expect([order, room.taken()]).toEqual([["b", "huge"], 95]);
  room.leave(huge);
  await Promise.all(waits);
  expect(await room.take(another, 74)).toBe(true);
  for (const each of [c, other, another]) room.leave(each);
  expect(room.taken()).toBe(0);
});

test("of what a recipient waits for, only a quarter stands in the others' way", async () => {
  const room = createBytesInFlight(100);
  const [holder, ...crowd] = [share(), share("me"), share("me"), share("me")];
  await room.take(holder, 90);
  for (const own of crowd) void room.take(own, 20);
  const next = room.take(share(), 70);
  room.leave(holder);
  expect(await next).toBe(true);
  expect(crowd.map(({ bytes }) => bytes)).toEqual([20, 0, 0]);
  room.leave(crowd[1] as Share);
  room.leave(crowd[0] as Share);
  expect(crowd.map(({ bytes }) => bytes)).toEqual([0, 0, 20]);
});

test("whatever happens, no more is taken than there is room, everybody gets in, and at the end nothing is taken", async () => {
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
      const inside = new Set<Share>();
      const visits = steps.map(async ({ bytes, leavesAfter, recipient, keeps }) => {
        const own = share(recipient);
        expect(await room.take(own, bytes)).toBe(true);
        entered++;
        inside.add(own);
        const holders = [...inside].filter((holder) => holder.bytes > 0);
        expect(room.taken() <= 100 || holders.length === 1).toBe(true);
        const ofIt = holders.filter(({ recipientId }) => recipientId === recipient);
        const its = ofIt.reduce((sum, holder) => sum + holder.bytes, 0);
        expect(its <= 25 || ofIt.length === 1).toBe(true);
        room.keep(own, Math.floor(own.bytes * keeps));
        for (let i = 0; i < leavesAfter; i++) await settle();
        inside.delete(own);
        room.leave(own);
      });
      await Promise.all(visits);
      expect([entered, room.taken()]).toEqual([steps.length, 0]);
    }),
    { numRuns: 100 },
  );
});

import { expect, test } from "vitest";
import { broken, look, well } from "../../src/doctor/finding.ts";
import { report } from "../../src/doctor/report.ts";

const WELL = well("server", "PostgreSQL 18.4, a primary");
const LOOK = look("clock", {
  seen: "the database's clock is 40 s ahead",
  why: "Tokens are judged by the wrong time.",
  fix: "Run NTP on both.",
});
const BROKEN = broken("listen", {
  seen: "no NOTIFY arrived\nin 5 s",
  why: "Rows wait for the sweep.",
  fix: "Set DIRECT_DATABASE_URL.",
});

test("the exit code is that of the worst finding", () => {
  expect(report([WELL], "text").exitCode).toBeUndefined();
  expect(report([WELL, LOOK], "text").exitCode).toBe(1);
  expect(report([BROKEN, LOOK, WELL], "json").exitCode).toBe(2);
});

test("the text has the worst at its end, each with why it matters and what to do", () => {
  expect(report([BROKEN, WELL, LOOK], "text").text).toBe(`\
ok     server: PostgreSQL 18.4, a primary
look   clock: the database's clock is 40 s ahead
       why  Tokens are judged by the wrong time.
       do   Run NTP on both.
BROKEN listen: no NOTIFY arrived
       in 5 s
       why  Rows wait for the sweep.
       do   Set DIRECT_DATABASE_URL.

1 broken, 1 to look at, 1 well.`);
  expect(report([WELL], "text").text).toMatch(/All is well\. Checks: 1\.$/);
});

test("the JSON has the verdict and the findings as they were made", () => {
  const { text } = report([WELL, LOOK], "json");
  expect(JSON.parse(text)).toEqual({ verdict: "look", findings: [WELL, LOOK] });
});

import { existsSync } from "node:fs";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { asService } from "../../../src/db/pool.ts";
import { report } from "../../../src/doctor/report.ts";
import { createMigrated, type Postgres, startPostgres } from "../../faults/support/postgres.ts";
import { openService } from "../../support/service.ts";
import { examine, LIMITS, withLogin } from "./support.ts";

const MAJORS = existsSync("/usr/lib/postgresql/15/bin/postgres")
  ? ([18, 15] as const)
  : ([18] as const);

/** Clusters of its own, because the server of the tests has settings that are findings. */
describe.each(MAJORS)("a healthy system on PostgreSQL %i", (major) => {
  let postgres: Postgres;
  let url: string;
  beforeAll(async () => {
    postgres = await startPostgres({ major });
    url = await createMigrated(postgres);
    await postgres.query("create role bell login password 'secret' in role bellwire_service");
    await postgres.query(`alter role bell ${LIMITS.replaceAll("USER", "bell")}`);
    await postgres.query("create role deploy login password 'secret' in role bellwire_owner");
    const service = await openService({
      databaseUrl: url,
      env: { DATABASE_URL: withLogin(url, "bell") },
    });
    return async () => {
      await service.close();
      await postgres.close();
    };
  });

  const LOGINS: [who: string, url: () => string][] = [
    ["as the service's login", () => withLogin(url, "bell")],
    ["as who migrates", () => withLogin(url, "deploy")],
    ["as a superuser", () => url],
    ["as the demo does", () => asService(url)],
  ];
  test.each(LOGINS)("is well, %s", async (_, urlOf) => {
    const findings = await examine(urlOf(), { directUrl: url });
    expect(findings.filter(({ level }) => level !== "well")).toEqual([]);
    const { text, exitCode } = report(findings, "text");
    expect(exitCode).toBeUndefined();
    expect(text.split("\n").length).toBeLessThanOrEqual(25);
    expect(text).not.toContain("secret");
    expect((await examine(urlOf())).filter(({ level }) => level !== "well")).toEqual([]);
  });
});

test("the clock of this machine is wrong", async () => {
  const postgres = await startPostgres();
  const url = await createMigrated(postgres);
  onTestFinished(() => void vi.useRealTimers());
  const look = async (aheadMs: number) => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + aheadMs });
    const findings = await examine(url);
    vi.useRealTimers();
    return findings.filter(({ check }) => check === "clock");
  };
  expect(await look(-10_000)).toMatchObject([
    { level: "look", seen: expect.stringMatching(/^the database's clock is \d+ s ahead of this/) },
  ]);
  expect(await look(60_000)).toMatchObject([
    { level: "broken", seen: expect.stringMatching(/^the database's clock is \d+ s behind this/) },
  ]);
});

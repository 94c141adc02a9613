import { randomBytes } from "node:crypto";
import { onTestFinished } from "vitest";
import { type ExamineOptions, examineDatabase } from "../../../src/doctor/database/examine.ts";
import type { Finding } from "../../../src/doctor/finding.ts";
import type { TestDatabase } from "../../support/database.ts";

/** Doctor's findings with these URLs, and otherwise the defaults. */
export function examine(
  url: string,
  { directUrl = url, ...options }: { directUrl?: string } & Partial<ExamineOptions> = {},
): Promise<Finding[]> {
  return examineDatabase({
    service: { name: "DATABASE_URL", url },
    direct: { name: directUrl === url ? "DATABASE_URL" : "DIRECT_DATABASE_URL", url: directUrl },
    poolSize: 10,
    leewayMs: 30_000,
    retentionDays: 90,
    rules: [],
    ...options,
  });
}

/** Those of one check. */
export const ofCheck = (findings: Finding[], check: string) =>
  findings.filter((finding) => finding.check === check);

export const withLogin = (url: string, user: string, password = "secret") =>
  url.replace(/^([^:]+:\/\/)([^@/]*@)?/, `$1${user}:${password}@`);

export const LIMITS =
  "set statement_timeout = '10s'; alter role USER set lock_timeout = '8s'; alter role USER set idle_in_transaction_session_timeout = '10s'";

/** A login of the cluster, dropped after the test. `grants` may name it as USER. */
export async function createLogin(database: TestDatabase, grants = ""): Promise<string> {
  const user = `bellwire_test_${randomBytes(6).toString("hex")}`;
  await database.query(
    `create role ${user} login password 'secret'; ${grants}`.replaceAll("USER", user),
  );
  onTestFinished(async () => {
    await database.query(`drop owned by ${user}; drop role ${user}`);
  });
  return user;
}

/** As docs/dba.md makes the service's login. */
export const AS_SERVICE = `grant bellwire_service to USER; alter role USER ${LIMITS};`;

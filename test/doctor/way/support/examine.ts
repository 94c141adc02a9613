import { expect } from "vitest";
import type { Finding } from "../../../../src/doctor/finding.ts";
import { examineWay, type WayOptions } from "../../../../src/doctor/way/way.ts";
import type { Service } from "../../../support/service.ts";

export const SECRET = "a secret that is long enough for HS256";

/** A heartbeat a second, so that a trial takes few. */
export const QUICK = { HEARTBEAT_SECONDS: "1", PING_SECONDS: "1" };

let recipients = 0;

type Given = Omit<Partial<WayOptions>, "settings"> & { settings?: Partial<WayOptions["settings"]> };

/** Examines the way to a test's service, each time as another recipient. */
export async function examine(
  service: Pick<Service, "token" | "metricsUrl">,
  url: string,
  { settings, ...options }: Given = {},
): Promise<Finding[]> {
  recipients++;
  return examineWay({
    url,
    token: await service.token(`doctor-${recipients}`),
    settings: {
      key: { kind: "secret", secret: SECRET },
      issuer: undefined,
      audience: undefined,
      userClaim: "sub",
      metricsPort: Number(new URL(service.metricsUrl).port),
      heartbeatMs: 1000,
      cookie: undefined,
      allowedOrigins: undefined,
      ...settings,
    },
    ...options,
  });
}

/** All that is not well, as `level check: seen`. */
export const troublesIn = (findings: readonly Finding[]): string[] =>
  findings.flatMap(({ level, check, seen }) =>
    level === "well" ? [] : [`${level} ${check}: ${seen}`],
  );

/** Expects this finding, and returns it. */
export function expectTrouble(
  findings: readonly Finding[],
  level: "look" | "broken",
  check: string,
): Exclude<Finding, { level: "well" }> {
  const found = findings.find((finding) => finding.check === check && finding.level === level);
  expect(found, `${level} ${check} among ${JSON.stringify(findings, null, 1)}`).toBeDefined();
  return found as Exclude<Finding, { level: "well" }>;
}

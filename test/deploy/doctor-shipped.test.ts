import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { troublesIn } from "../doctor/way/support/examine.ts";
import { findPort } from "../faults/support/ports.ts";
import { createMigrated, startPostgres } from "../faults/support/postgres.ts";
import { openService, type Service } from "../support/service.ts";
import { isInstalled, PROXIES, type ProxyName, startProxy } from "./support/proxies.ts";
import { runDoctor } from "./support/run-doctor.ts";

const SHOP = "https://shop.example";

let databaseUrl: string;
let service: Service;
beforeAll(async () => {
  // A server of its own, because that of the tests has settings that are findings.
  const postgres = await startPostgres();
  databaseUrl = await createMigrated(postgres);
  service = await openService({
    databaseUrl,
    port: await findPort(),
    env: { TRUST_PROXY: "1", JWT_COOKIE: "session", ALLOWED_ORIGINS: SHOP },
  });
  return async () => {
    await service.close();
    await postgres.close();
  };
});

const names = (Object.keys(PROXIES) as ProxyName[]).filter(isInstalled);

test.each(names)(
  "behind %s with its file of deploy/, over TLS and HTTP/2, all is well, also for another origin",
  async (name) => {
    const { url, ca } = await startProxy(name, Number(new URL(service.url).port));
    const certificate = join(tmpdir(), `bellwire-doctor-${name}.pem`);
    await writeFile(certificate, ca);
    const env = { NODE_EXTRA_CA_CERTS: certificate, DATABASE_URL: databaseUrl };
    const [own, other] = await Promise.all([
      runDoctor(service, url, { env }),
      runDoctor(service, url, { env, args: ["--origin", SHOP, "--recipient", "another"] }),
    ]);
    expect([own, other].map(troublesIn)).toEqual([[], []]);
    const checks = own.map(({ check }) => check);
    expect(checks).toEqual(expect.arrayContaining(["delivery", "resume", "cookie", "heartbeat"]));
    expect(own).toContainEqual(
      expect.objectContaining({ check: "http_version", seen: expect.stringMatching(/^HTTP\/2/) }),
    );
  },
);

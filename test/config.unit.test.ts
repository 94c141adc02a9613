import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { getHeapStatistics } from "node:v8";
import { describe, expect, test } from "vitest";
import { ConfigError, readConfig } from "../src/config.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const external = { DATABASE_URL: "postgres://app@db.example/app", JWT_SECRET: SECRET };

/** The message for the operator if the environment is wrong. */
function problemsOf(environment: NodeJS.ProcessEnv): string {
  try {
    readConfig(environment);
  } catch (err) {
    expect(err).toBeInstanceOf(ConfigError);
    return (err as ConfigError).message;
  }
  throw new Error("the configuration was accepted");
}

const pem = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();

describe("defaults", () => {
  test("an empty environment means the embedded server with a generated key", () => {
    expect(readConfig({})).toEqual({
      host: "127.0.0.1",
      port: 3000,
      metricsPort: 9464,
      database: { kind: "embedded", dir: ".bellwire/pg", port: 54_330 },
      poolSize: 10,
      key: { kind: "generated" },
      leewayMs: 30_000,
      token: { issuer: undefined, audience: undefined, userClaim: "sub", cookie: undefined },
      allowedOrigins: [],
      trustedHops: 0,
      sweepMs: 2000,
      tickMs: 10,
      wakeupsPerSecondBusy: 200,
      heartbeatMs: 15_000,
      pingMs: 30_000,
      maxStreams: 20_000,
      maxStreamsPerRecipient: 10,
      maxNewStreamsPerSecond: 100,
      maxStreamMs: Number.POSITIVE_INFINITY,
      maxBufferedBytes: 262_144,
      stalledMs: 30_000,
      replayLimit: 1000,
      maxReplayBytesInFlight: Math.floor(getHeapStatistics().heap_size_limit / 8),
      maxEventBytes: 60_000,
      drainMs: 3000,
      retentionDays: 90,
      logLevel: "info",
    });
  });

  test("the service listens on 127.0.0.1 unless HOST says otherwise, whatever its database", () => {
    for (const database of [{}, external]) {
      expect(readConfig(database).host).toBe("127.0.0.1");
      expect(readConfig({ ...database, HOST: "::" }).host).toBe("::");
    }
  });

  test("an empty or blank variable counts as unset", () => {
    const names = [...variablesOfConfig()];
    for (const blank of ["", " ", "\t"])
      expect(readConfig(Object.fromEntries(names.map((name) => [name, blank])))).toEqual(
        readConfig({}),
      );
  });

  test("the configuration is frozen, all the way down", () => {
    const config = readConfig(external);
    for (const part of [config, config.database, config.key, config.token, config.allowedOrigins])
      expect(Object.isFrozen(part)).toBe(true);
  });
});

describe("problems", () => {
  test("all problems are listed, of single variables and between variables", () => {
    const message = problemsOf({
      PORT: "70000",
      METRICS_PORT: "a",
      DATABASE_POOL_SIZE: "1.5",
      JWT_SECRET: "short",
      JWT_JWKS_URL: "ftp://keys.example",
      DIRECT_DATABASE_URL: "postgres://db.example/app",
      LOG_LEVEL: "loud",
    });
    for (const name of ["PORT", "METRICS_PORT", "DATABASE_POOL_SIZE", "JWT_JWKS_URL", "LOG_LEVEL"])
      expect(message).toContain(`→ at ${name}\n`);
    expect(message).toContain("Use at least 32 characters");
    expect(message).toContain("Set exactly one of JWT_SECRET, JWT_JWKS_URL");
    expect(message).toContain("Needs DATABASE_URL as well");
  });

  test("a problem never quotes a secret", () => {
    const message = problemsOf({
      DATABASE_URL: "postgres://app:canary-password@db.example/app",
      JWT_SECRET: "canary-secret",
      JWT_PUBLIC_KEY: "canary-key",
      PORT: "no",
    });
    expect(message).not.toContain("canary");
  });

  test.each([
    ["two keys", { ...external, JWT_JWKS_URL: "https://k.example/" }, "Set exactly one of"],
    ["no key with a DATABASE_URL", { DATABASE_URL: "postgres:///app" }, "Set one of"],
    ["only a direct URL", { DIRECT_DATABASE_URL: "postgres:///app" }, "Needs DATABASE_URL as well"],
  ])("contradiction: %s", (_, environment, expected) => {
    expect(problemsOf(environment)).toContain(expected);
  });

  test.each([
    ["is not a key", "-----BEGIN PUBLIC KEY-----\nbm8=\n-----END PUBLIC KEY-----"],
    ["is not a PEM block", "MCowBQYDK2VwAyEA"],
    ["has an unsupported curve", pem(keyPair("ec", "P-384"))],
    ["is too short for RS256", pem(keyPair("rsa", 1024))],
    ["is for key exchange", pem(generateKeyPairSync("x25519").publicKey)],
  ])("JWT_PUBLIC_KEY %s", (_, JWT_PUBLIC_KEY) => {
    expect(problemsOf({ JWT_PUBLIC_KEY })).toContain("→ at JWT_PUBLIC_KEY");
  });
});

test.each([
  ["RS256", pem(keyPair("rsa", 2048))],
  ["ES256", pem(keyPair("ec", "P-256"))],
  ["EdDSA", pem(generateKeyPairSync("ed25519").publicKey)],
])("JWT_PUBLIC_KEY may be a key for %s", (_, key) => {
  expect(readConfig({ ...external, JWT_SECRET: "", JWT_PUBLIC_KEY: key }).key).toEqual({
    kind: "publicKey",
    pem: key,
  });
});

test("a database URL is passed on unchanged, because libpq has forms that are not URLs", () => {
  const url = "postgres://user@/db?host=/var/run/postgresql";
  expect(readConfig({ ...external, DATABASE_URL: url }).database).toEqual({
    kind: "external",
    url,
    directUrl: url,
  });
  const directUrl = "postgresql://a:p%40ss@h1:1/db?target_session_attrs=read-write";
  const both = { ...external, DATABASE_URL: url, DIRECT_DATABASE_URL: directUrl };
  expect(readConfig(both).database).toEqual({ kind: "external", url, directUrl });
});

test("other variables are ignored", () => {
  expect(readConfig({ PATH: "/bin", NODE_ENV: "production" })).toEqual(readConfig({}));
});

describe(".env.example", () => {
  const VARIABLE = /^(?:# ?)?([A-Z][A-Z0-9_]*)=/;
  const readLines = () => readText("../.env.example").split("\n");

  test("has exactly the variables of config.ts", () => {
    const names = readLines().flatMap((line) => VARIABLE.exec(line)?.[1] ?? []);
    expect(new Set(names)).toEqual(variablesOfConfig());
    expect(names).toHaveLength(new Set(names).size);
  });

  test("explains each variable", () => {
    const bare = readLines().filter((line, i, lines) => {
      const above = lines[i - 1] ?? "";
      const isExplained = /\s# \S/.test(line) || (/^# \S/.test(above) && !VARIABLE.test(above));
      return VARIABLE.test(line) && !isExplained;
    });
    expect(bare).toEqual([]);
  });

  test("shows the defaults, so that uncommenting a line changes nothing", () => {
    const text = readText("../.env.example");
    const uncommented = text.replace(/^# ?(?=[A-Z][A-Z0-9_]*=)/gm, "");
    expect(readConfig(parseEnv(text))).toEqual(readConfig({}));
    expect(readConfig(parseEnv(uncommented))).toEqual(readConfig({}));
  });
});

function variablesOfConfig(): Set<string | undefined> {
  const schema = /z\.object\(\{([\s\S]*?)\n\}\)/.exec(readText("../src/config.ts"))?.[1] ?? "";
  const names = [...schema.matchAll(/^ {2}([A-Z][A-Z0-9_]*):/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(20);
  return new Set(names);
}

function readText(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}

function keyPair(kind: "rsa", modulusLength: number): KeyObject;
function keyPair(kind: "ec", namedCurve: string): KeyObject;
function keyPair(kind: "rsa" | "ec", size: number | string): KeyObject {
  if (kind === "rsa") return generateKeyPairSync("rsa", { modulusLength: Number(size) }).publicKey;
  return generateKeyPairSync("ec", { namedCurve: String(size) }).publicKey;
}

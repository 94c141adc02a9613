import { createPublicKey } from "node:crypto";
import { getHeapStatistics } from "node:v8";
import { z } from "zod";
import { findUrlProblem } from "./database-url.ts";

/** The embedded database, or the operator's own. */
export type DatabaseConfig =
  | { kind: "embedded"; dir: string; port: number }
  | { kind: "external"; url: string; directUrl: string };

/** The key that verifies tokens. `secret` is for HS256, the others for RS256, ES256 or EdDSA. */
export type KeyConfig =
  | { kind: "generated" }
  | { kind: "secret"; secret: string }
  | { kind: "publicKey"; pem: string }
  | { kind: "jwks"; url: string };

export type Config = Readonly<ReturnType<typeof readConfig>>;
export type TokenConfig = ReturnType<typeof readTokenConfig>;

/** The service cannot start with this environment. The message lists every problem. */
export class ConfigError extends Error {}

const count = (fallback: number, min = 0, max = 2 ** 31 - 1) =>
  z.coerce.number().int().min(min).max(max).default(fallback);
const port = (fallback: number) => count(fallback, 0, 65_535);
const text = z.string().trim().min(1).optional();
const databaseUrl = text.superRefine((url, context) => {
  const message = url && findUrlProblem(url);
  if (message) context.addIssue({ code: "custom", message });
});
const origins = z
  .string()
  .transform((list) => list.split(",").map((origin) => origin.trim()))
  .pipe(
    z.array(
      z
        .string()
        .refine(
          isOrigin,
          "Expected origins as a browser sends them: https://shop.example,https://…",
        ),
    ),
  )
  .default([]);

const Environment = z.object({
  PORT: port(3000),
  HOST: z.string().trim().min(1).default("127.0.0.1"),
  METRICS_PORT: port(9464),
  DATABASE_URL: databaseUrl,
  DIRECT_DATABASE_URL: databaseUrl,
  DATABASE_POOL_SIZE: count(10, 2, 1000),
  EMBEDDED_PG_PORT: port(54_330),
  EMBEDDED_PG_DIR: z.string().trim().min(1).default(".bellwire/pg"),
  JWT_SECRET: z.string().min(32, "Use at least 32 characters (RFC 7518 §3.2)").optional(),
  JWT_PUBLIC_KEY: z
    .string()
    .regex(/-----BEGIN PUBLIC KEY-----/, "Expected a PEM block: -----BEGIN PUBLIC KEY-----")
    .refine(isUsableKey, "Expected an RSA key (2048 bits or more), a P-256 key or an Ed25519 key")
    .optional(),
  JWT_JWKS_URL: z.url({ protocol: /^https?$/ }).optional(),
  JWT_ISSUER: text,
  JWT_AUDIENCE: text,
  JWT_USER_CLAIM: z.string().trim().min(1).default("sub"),
  JWT_COOKIE: text,
  JWT_LEEWAY_SECONDS: count(30, 0, 3600),
  ALLOWED_ORIGINS: origins,
  TRUST_PROXY: count(0, 0, 10),
  SWEEP_MS: count(2000, 10),
  TICK_MS: count(10, 1, 1000),
  WAKEUPS_PER_SECOND_BUSY: count(200),
  HEARTBEAT_SECONDS: count(15, 1, 3600),
  PING_SECONDS: count(30, 1, 3600),
  MAX_STREAMS: count(20_000, 1),
  MAX_STREAMS_PER_RECIPIENT: count(10, 1),
  MAX_NEW_STREAMS_PER_SECOND: count(100),
  MAX_STREAM_SECONDS: count(0),
  MAX_BUFFERED_BYTES: count(262_144, 1024),
  STALLED_SECONDS: count(30, 1, 3600),
  REPLAY_LIMIT: count(1000, 1),
  MAX_EVENT_BYTES: count(60_000).refine(
    (bytes) => bytes === 0 || bytes >= 1024,
    "Expected 0 (no limit) or at least 1024",
  ),
  MAX_REPLAY_BYTES_IN_FLIGHT: z.coerce.number().int().min(65_536).optional(),
  DRAIN_SECONDS: count(3, 0, 300),
  RETENTION_DAYS: count(90, 1, 36_500),
  LOG_LEVEL: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
});

type Values = z.infer<typeof Environment>;

const NAMES = Object.keys(Environment.shape) as (keyof Values)[];
const OF_DATABASE = [
  "DATABASE_URL",
  "DIRECT_DATABASE_URL",
  "EMBEDDED_PG_PORT",
  "EMBEDDED_PG_DIR",
  "LOG_LEVEL",
] as const;
const OF_TOKENS = NAMES.filter((name) => name.startsWith("JWT_"));

/**
 * Reads the whole configuration from the environment. A blank variable counts as unset. Throws one ConfigError that lists
 * every problem.
 */
export function readConfig(environment: NodeJS.ProcessEnv) {
  const values = parse(environment, NAMES);
  const database = readDatabase(values);
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    metricsPort: values.METRICS_PORT,
    database: Object.freeze(database),
    poolSize: values.DATABASE_POOL_SIZE,
    key: Object.freeze(readKey(values)),
    token: Object.freeze(readTokenClaims(values)),
    leewayMs: values.JWT_LEEWAY_SECONDS * 1000,
    allowedOrigins: Object.freeze(values.ALLOWED_ORIGINS),
    trustedHops: values.TRUST_PROXY,
    sweepMs: values.SWEEP_MS,
    tickMs: values.TICK_MS,
    wakeupsPerSecondBusy: values.WAKEUPS_PER_SECOND_BUSY,
    heartbeatMs: values.HEARTBEAT_SECONDS * 1000,
    pingMs: values.PING_SECONDS * 1000,
    maxStreams: values.MAX_STREAMS,
    maxStreamsPerRecipient: values.MAX_STREAMS_PER_RECIPIENT,
    /** Per IP address. A recipient may open `maxStreamsPerRecipient` per second. */
    maxNewStreamsPerSecond: values.MAX_NEW_STREAMS_PER_SECOND || Number.POSITIVE_INFINITY,
    maxStreamMs: values.MAX_STREAM_SECONDS * 1000 || Number.POSITIVE_INFINITY,
    maxBufferedBytes: values.MAX_BUFFERED_BYTES,
    stalledMs: values.STALLED_SECONDS * 1000,
    replayLimit: values.REPLAY_LIMIT,
    maxReplayBytesInFlight:
      values.MAX_REPLAY_BYTES_IN_FLIGHT ?? Math.floor(getHeapStatistics().heap_size_limit / 8),
    maxEventBytes: values.MAX_EVENT_BYTES || Number.POSITIVE_INFINITY,
    drainMs: values.DRAIN_SECONDS * 1000,
    retentionDays: values.RETENTION_DAYS,
    logLevel: values.LOG_LEVEL,
  });
}

/** The configuration of the demo: its own database and keys, whatever the environment says. */
export const readDemoConfig = (environment: NodeJS.ProcessEnv): Config =>
  readConfig({
    ...environment,
    DATABASE_URL: undefined,
    DIRECT_DATABASE_URL: undefined,
    JWT_PUBLIC_KEY: undefined,
    JWT_JWKS_URL: undefined,
  });

// A command reads only the variables that it uses, so that a wrong PORT does not stop a migration. They throw as `readConfig` does.

export function readDatabaseConfig(environment: NodeJS.ProcessEnv) {
  const values = parse(environment, OF_DATABASE);
  return { database: readDatabase(values), logLevel: values.LOG_LEVEL };
}

export function readPruneConfig(environment: NodeJS.ProcessEnv) {
  const values = parse(environment, [...OF_DATABASE, "RETENTION_DAYS"]);
  return { database: readDatabase(values), retentionDays: values.RETENTION_DAYS };
}

export function readDoctorConfig(environment: NodeJS.ProcessEnv) {
  const values = parse(environment, [
    ...OF_DATABASE,
    "DATABASE_POOL_SIZE",
    "RETENTION_DAYS",
    "JWT_LEEWAY_SECONDS",
  ]);
  return {
    database: readDatabase(values),
    poolSize: values.DATABASE_POOL_SIZE,
    retentionDays: values.RETENTION_DAYS,
    leewayMs: values.JWT_LEEWAY_SECONDS * 1000,
  };
}

export function readTokenConfig(environment: NodeJS.ProcessEnv) {
  const values = parse(environment, [...OF_DATABASE, ...OF_TOKENS]);
  return { database: readDatabase(values), key: readKey(values), token: readTokenClaims(values) };
}

export function readMetricsConfig(environment: NodeJS.ProcessEnv) {
  return { metricsPort: parse(environment, ["METRICS_PORT"]).METRICS_PORT };
}

/** What the environment says of a service that may run elsewhere: undefined is what it does not say. */
export function readRemoteConfig(environment: NodeJS.ProcessEnv) {
  const names = ["METRICS_PORT", "HEARTBEAT_SECONDS", "ALLOWED_ORIGINS", ...OF_TOKENS] as const;
  const values = parse(environment, names);
  const isSet = (name: (typeof names)[number]) => Boolean(environment[name]?.trim());
  const key = readKey(values);
  return {
    metricsPort: values.METRICS_PORT,
    heartbeatMs: isSet("HEARTBEAT_SECONDS") ? values.HEARTBEAT_SECONDS * 1000 : undefined,
    allowedOrigins: isSet("ALLOWED_ORIGINS") ? values.ALLOWED_ORIGINS : undefined,
    key: key.kind === "generated" ? undefined : key,
    ...readTokenClaims(values),
  };
}

/** The named variables. Throws one ConfigError that lists every problem. */
function parse<Name extends keyof Values>(
  environment: NodeJS.ProcessEnv,
  names: readonly Name[],
): Pick<Values, Name> {
  const set = Object.fromEntries(
    names.flatMap((name) => (environment[name]?.trim() ? [[name, environment[name]]] : [])),
  );
  const mask = Object.fromEntries(names.map((name) => [name, true as const]));
  const parsed = Environment.pick(mask as Record<keyof Values, true>).safeParse(set);
  const contradictions = findContradictions(set, new Set<keyof Values>(names));
  const issues = [...(parsed.error?.issues ?? []), ...contradictions];
  if (!parsed.success || issues.length > 0) throw new ConfigError(z.prettifyError({ issues }));
  return parsed.data;
}

/** Problems between the variables that are read: those that exclude or need each other. */
function findContradictions(set: NodeJS.ProcessEnv, read: ReadonlySet<keyof Values>) {
  const found: { path: (keyof Values)[]; message: string }[] = [];
  const refuse = (name: keyof Values, message: string) => found.push({ path: [name], message });
  const keys = ["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_URL"].filter((name) => set[name]);
  if (keys.length > 1) refuse("JWT_SECRET", `Set exactly one of ${keys.join(", ")}`);
  if (keys.length === 0 && set.DATABASE_URL && read.has("JWT_SECRET"))
    refuse("JWT_SECRET", "Set one of JWT_SECRET, JWT_PUBLIC_KEY, JWT_JWKS_URL");
  if (read.has("DATABASE_URL") && !set.DATABASE_URL && (set.JWT_PUBLIC_KEY || set.JWT_JWKS_URL))
    refuse(
      "DATABASE_URL",
      "Set it too. Without it the demo runs, which signs its own tokens and accepts only JWT_SECRET",
    );
  if (set.DIRECT_DATABASE_URL && !set.DATABASE_URL)
    refuse("DIRECT_DATABASE_URL", "Needs DATABASE_URL as well; unset both for the embedded server");
  return found;
}

/** Whether the text is exactly what an `Origin` header has: no path, no capitals, no default port. */
function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}

/** Whether one of our algorithms can use the key. jose would report that only at the first token. */
function isUsableKey(pem: string): boolean {
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPublicKey(pem);
    if (type === "rsa") return (details?.modulusLength ?? 0) >= 2048;
    return type === "ed25519" || details?.namedCurve === "prime256v1";
  } catch {
    return false; // not a key
  }
}

function readDatabase(values: Pick<Values, (typeof OF_DATABASE)[number]>): DatabaseConfig {
  if (!values.DATABASE_URL)
    return { kind: "embedded", dir: values.EMBEDDED_PG_DIR, port: values.EMBEDDED_PG_PORT };
  const url = values.DATABASE_URL;
  return { kind: "external", url, directUrl: values.DIRECT_DATABASE_URL ?? url };
}

type TokenValues = Pick<Values, Extract<keyof Values, `JWT_${string}`>>;

const readTokenClaims = (values: TokenValues) => ({
  issuer: values.JWT_ISSUER,
  audience: values.JWT_AUDIENCE,
  userClaim: values.JWT_USER_CLAIM,
  cookie: values.JWT_COOKIE,
});

function readKey(values: TokenValues): KeyConfig {
  if (values.JWT_SECRET) return { kind: "secret", secret: values.JWT_SECRET };
  if (values.JWT_PUBLIC_KEY) return { kind: "publicKey", pem: values.JWT_PUBLIC_KEY };
  if (values.JWT_JWKS_URL) return { kind: "jwks", url: values.JWT_JWKS_URL };
  return { kind: "generated" };
}

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DatabaseConfig, readRemoteConfig, readTokenConfig } from "../config.ts";
import { examineToken } from "../doctor/way/token.ts";
import type { WayOptions } from "../doctor/way/way.ts";
import { createMinter } from "../http/auth/sign.ts";
import { loadConfig } from "../main.ts";
import { mintToken } from "./token.ts";

const DEFAULT_RECIPIENT = "bellwire-doctor";
const TTL_SECONDS = 900;
const LONG_MS = 360_000;

export interface WayArguments {
  url: string;
  token: string | undefined;
  recipient: string | undefined;
  origin: string | undefined;
  long: boolean;
}

/**
 * What `doctor` needs for the way to the browser: a token, which it makes if none is given, and where it may write a row. It writes
 * none to the recipient of a token, unless that is named: a person would see it.
 */
export async function readWayOptions(
  { url, token, recipient, origin, long }: WayArguments,
  database: DatabaseConfig,
  misuse: (why: string) => never,
): Promise<WayOptions> {
  if (!URL.canParse(url) || !/^https?:/.test(url))
    return misuse(`${url} is no URL: it begins with https:// or http://`);
  if (origin !== undefined && !(URL.canParse(origin) && new URL(origin).origin === origin))
    return misuse(
      `${origin} is no origin: scheme and host without a path, as in https://shop.example`,
    );
  const settings = loadConfig(readRemoteConfig);
  if (token && recipient && examineToken(token, settings).recipientId !== recipient)
    return misuse("--token is of another recipient than --recipient");
  const mayWrite = token === undefined || recipient !== undefined;
  return {
    url,
    token: token ?? (await mint(recipient ?? DEFAULT_RECIPIENT, database, settings, misuse)),
    origin,
    databaseUrl: mayWrite && database.kind === "external" ? database.directUrl : undefined,
    settings,
    watchMs: long ? LONG_MS : undefined,
  };
}

async function mint(
  recipientId: string,
  database: DatabaseConfig,
  { key, ...claims }: ReturnType<typeof readRemoteConfig>,
  misuse: (why: string) => never,
): Promise<string> {
  if (key?.kind === "secret") return createMinter({ ...claims, key })(recipientId, TTL_SECONDS);
  if (key)
    return misuse("only your application can sign a token for this service: pass one with --token");
  if (database.kind === "embedded" && existsSync(join(dirname(database.dir), "jwt-secret")))
    return mintToken(loadConfig(readTokenConfig), recipientId, TTL_SECONDS);
  return misuse(
    "doctor needs a token for this: pass one with --token, or the service's JWT_SECRET in the environment, to make one",
  );
}

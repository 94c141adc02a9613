import type { Config } from "../config.ts";
import { verificationKey } from "../http/auth/keys.ts";
import { createMinter } from "../http/auth/sign.ts";
import { UsageError } from "./usage.ts";

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

export async function token(
  config: Config,
  recipientId: string | undefined,
  ttl: string,
): Promise<string> {
  if (!recipientId) throw new UsageError("token needs a recipient");
  const mint = createMinter({ ...config.token, key: await verificationKey(config) });
  return mint(recipientId, parseTtl(ttl));
}

function parseTtl(text: string): number {
  const [, count, unit] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  if (!count) throw new UsageError(`--ttl is a number and s, m, h or d, as in 30m; not ${text}`);
  return Number(count) * SECONDS[unit as keyof typeof SECONDS];
}

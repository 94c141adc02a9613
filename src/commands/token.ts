import { readTokenConfig, type TokenConfig } from "../config.ts";
import { signingKey } from "../http/auth/keys.ts";
import { createMinter } from "../http/auth/sign.ts";
import { loadConfig } from "../main.ts";
import { createCommand } from "./command.ts";

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

export const command = createCommand({
  help: `bellwire token <recipient> [--ttl 1h]

Prints a token for a recipient, signed with JWT_SECRET; in embedded mode with the generated secret. --ttl is a number and s, m, h or d.
Reads the variables that begin with JWT_, and DATABASE_URL.`,
  options: { ttl: { type: "string", default: "1h" } },
  async run({ args: [recipientId], values: { ttl }, misuse }) {
    if (!recipientId) return misuse("token needs a recipient");
    const seconds = parseTtl(ttl);
    if (!seconds) return misuse(`--ttl is a number and s, m, h or d, as in 30m; not ${ttl}`);
    return { text: await mintToken(loadConfig(readTokenConfig), recipientId, seconds) };
  },
});

/** Rejects if the key only verifies. */
export async function mintToken(
  config: TokenConfig,
  recipientId: string,
  seconds: number,
): Promise<string> {
  const mint = createMinter({ ...config.token, key: await signingKey(config) });
  return mint(recipientId, seconds);
}

function parseTtl(text: string): number | undefined {
  const [, count, unit] = /^([1-9][0-9]{0,8})([smhd])$/.exec(text) ?? [];
  return count ? Number(count) * SECONDS[unit as keyof typeof SECONDS] : undefined;
}

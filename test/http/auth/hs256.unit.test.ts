import { createHmac } from "node:crypto";
import fc from "fast-check";
import { jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { createHs256Verifier } from "../../../src/http/auth/hs256.ts";

const SECRET = "a secret that is long enough for HS256";
const CLAIMS = { requiredClaims: ["exp", "sub"], issuer: "https://id.example", audience: "bell" };

const verify = createHs256Verifier(SECRET, CLAIMS);
const byJose = (token: string) =>
  jwtVerify(token, Buffer.from(SECRET), { ...CLAIMS, algorithms: ["HS256"] });

const encode = (text: string) => Buffer.from(text).toString("base64url");
const hmac = (text: string, hash = "sha256") =>
  createHmac(hash, SECRET).update(text).digest("base64url");

function sign(header: unknown, payload: unknown, hash?: string): string {
  const text = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(payload))}`;
  return `${text}.${hmac(text, hash)}`;
}

const later = Math.floor(Date.now() / 1000) + 3600;
const GOOD = { sub: "42", exp: later, iss: "https://id.example", aud: "bell" };

/** Mostly as it should be, so that what else is wrong is looked at. */
const mostly = <T>(good: T, ...bad: unknown[]) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant<unknown>(good) }, fc.constantFrom(...bad));

const header = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      alg: mostly("HS256", "none", "hs256", "HS512", "RS256", 256, null, undefined),
      typ: mostly(undefined, "JWT", "at+jwt", 1),
      crit: mostly(undefined, ["b64"], ["exp"], ["x"], [], "b64", null),
      b64: mostly(undefined, false, true, 0),
      x: mostly(undefined, 1),
    }),
  },
  fc.jsonValue(),
);
const payload = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      sub: mostly("42", 42, null, undefined, ["42"]),
      exp: mostly(later, 1, "soon", null, undefined, 1e300),
      nbf: mostly(undefined, later, 1, "1"),
      iat: mostly(undefined, 1, later, "1", null),
      iss: mostly(GOOD.iss, undefined, "https://id.example/", [GOOD.iss]),
      aud: mostly("bell", ["bell", "x"], ["x"], undefined, "Bell", 1),
    }),
  },
  fc.jsonValue(),
);
const token = fc
  .tuple(header, payload, mostly("sha256", "sha384", "sha512"))
  .map(([h, p, hash]) => sign(h, p, String(hash)));

/** Puts a character in, or changes one, or takes it away. */
const damaged = fc
  .tuple(fc.nat(), fc.constantFrom("", ".", "=", "A", "_", "+", " ", "é", "\0"), fc.nat(2))
  .map(([at, other, keep]) => (text: string) => {
    const i = at % text.length;
    return text.slice(0, i) + other + text.slice(i + (keep === 0 ? 0 : 1));
  });

describe("createHs256Verifier()", () => {
  test("takes what jose takes, as jose reads it, and refuses what jose refuses", async () => {
    const verdicts = { taken: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          token,
          fc.tuple(token, damaged).map(([text, damage]) => damage(text)),
        ),
        async (text) => {
          const [ours, theirs] = await Promise.allSettled([verify(text), byJose(text)]);
          // jose also reads a signature with a blank or padding in it, which RFC 7515 §2 does not have.
          const signature = text.split(".")[2] ?? "";
          const isPlain = signature === Buffer.from(signature, "base64url").toString("base64url");
          expect(ours.status, text).toBe(isPlain ? theirs.status : "rejected");
          if (ours.status === "fulfilled" && theirs.status === "fulfilled")
            expect(ours.value).toEqual({
              payload: theirs.value.payload,
              protectedHeader: theirs.value.protectedHeader,
            });
          verdicts[ours.status === "fulfilled" ? "taken" : "refused"]++;
        },
      ),
      { numRuns: 5000 },
    );
    // One that refuses or takes everything would show nothing.
    expect(verdicts.taken).toBeGreaterThan(100);
    expect(verdicts.refused).toBeGreaterThan(1000);
  });
});

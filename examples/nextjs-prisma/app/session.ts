import { jwtVerify, SignJWT } from "jose";
import { cookies } from "next/headers";
import { redirect } from "next/navigation";
import { database } from "./database";

/** Bellwire reads the same cookie (`JWT_COOKIE=session`) and checks it with the same secret, so the bell needs no token of its own. */
const COOKIE = "session";
const SECONDS = 7 * 24 * 3600;
const secret = () => new TextEncoder().encode(process.env.JWT_SECRET);

export async function startSession(userId: string): Promise<void> {
  const token = await new SignJWT()
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(userId)
    .setIssuedAt()
    .setExpirationTime(`${SECONDS}s`)
    .sign(secret());
  const store = await cookies();
  store.set(COOKIE, token, {
    httpOnly: true,
    sameSite: "lax",
    secure: process.env.NODE_ENV === "production",
    maxAge: SECONDS,
  });
}

export async function endSession(): Promise<void> {
  (await cookies()).delete(COOKIE);
}

/** The user who is signed in, if any. */
export async function currentUser() {
  const token = (await cookies()).get(COOKIE)?.value;
  if (!token) return null;
  const verified = await jwtVerify(token, secret(), {
    algorithms: ["HS256"],
    requiredClaims: ["sub", "exp"],
  }).catch(() => undefined);
  const id = verified?.payload.sub;
  return id ? database.user.findUnique({ where: { id, blocked: false } }) : null;
}

export async function requireUser() {
  return (await currentUser()) ?? redirect("/sign-in");
}

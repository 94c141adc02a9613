import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A certificate for localhost in the folder: `fullchain.pem`, `privkey.pem`, and both in `both.pem`. Returns the certificate. */
export async function createCertificate(
  folder: string,
  { isExpired = false } = {},
): Promise<string> {
  const [certificate = "", key = "", request = ""] = [
    "fullchain.pem",
    "privkey.pem",
    "request.pem",
  ].map((name) => join(folder, name));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const keys = ["-newkey", "rsa:2048", "-nodes", "-keyout", key];
  await run("openssl", ["req", ...keys, ...subject, "-out", request]);
  // Only this command makes one that has expired.
  const files = ["-in", request, "-signkey", key, "-out", certificate];
  const days = ["-days", isExpired ? "-1" : "30"];
  await run("openssl", ["x509", "-req", ...days, "-copy_extensions", "copy", ...files]);
  const text = await readFile(certificate, "utf8");
  await writeFile(join(folder, "both.pem"), text + (await readFile(key, "utf8")));
  return text;
}

import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A certificate for localhost in the folder: `fullchain.pem`, `privkey.pem`, and both in `both.pem`. Returns the certificate. */
export async function createCertificate(folder: string): Promise<string> {
  const [certificate, key] = ["fullchain.pem", "privkey.pem"].map((name) => join(folder, name));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const files = ["-keyout", key ?? "", "-out", certificate ?? ""];
  await run("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject, ...files]);
  const text = await readFile(certificate ?? "", "utf8");
  await writeFile(join(folder, "both.pem"), text + (await readFile(key ?? "", "utf8")));
  return text;
}

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { LAUNCH } from "../../browser/support/chromium.ts";

const SOURCES = fileURLToPath(new URL("..", import.meta.url));
/** Kept between runs. Remove it to build everything again. */
const CACHE = join(SOURCES, ".cache");

export const source = (path: string) => join(SOURCES, path);
export const built = (path: string) => join(CACHE, path);

export type Language = "browser" | "go" | "java" | "node" | "python" | "rust";

/** First the steps that need the registry, once for each content of `lock`; then the steps that compile, each time. */
interface Build {
  lock: string;
  fetch: string[];
  compile?: string[];
}

const BUILDS: Record<Exclude<Language, "browser">, Build> = {
  node: {
    lock: "node/package-lock.json",
    fetch: ["npm", "ci", "--ignore-scripts", "--prefix", built("node")],
  },
  python: {
    lock: "python/requirements.txt",
    fetch: [
      "sh",
      "-c",
      'python3 -m venv "$0" && "$0/bin/pip" install -qr "$1"',
      built("python"),
      source("python/requirements.txt"),
    ],
  },
  go: {
    lock: "go/go.sum",
    fetch: ["go", "mod", "download"],
    compile: ["go", "build", "-o", `${built("go")}/`, "./..."],
  },
  java: {
    lock: "java/pom.xml",
    fetch: [
      "mvn",
      "-q",
      "-B",
      "dependency:copy-dependencies",
      `-DoutputDirectory=${built("java/jars")}`,
    ],
    compile: ["sh", "-c", 'javac -cp "$0/jars/*" -d "$0" *.java', built("java")],
  },
  rust: {
    lock: "rust/Cargo.lock",
    fetch: ["cargo", "fetch", "--locked"],
    compile: ["cargo", "build", "-q", "--locked", "--offline", "--target-dir", built("rust")],
  },
};

/** False, with a message, if the language or its registry is missing. Throws if a client does not compile. */
export async function build(language: Language): Promise<boolean> {
  if (language === "browser") {
    const { executablePath } = LAUNCH;
    const isThere = existsSync(executablePath);
    if (!isThere) console.warn(`No ${executablePath}: apt-get install chromium. Skipped.`);
    return isThere;
  }
  const { lock, fetch, compile } = BUILDS[language];
  const folder = built(language);
  await mkdir(folder, { recursive: true });
  // Node looks for packages next to the program.
  if (language === "node") await cp(source("node"), folder, { recursive: true });
  const fetched = join(folder, ".fetched");
  const wanted = await readFile(source(lock), "utf8");
  if ((await readFile(fetched, "utf8").catch(() => "")) !== wanted) {
    try {
      await run(language, fetch);
    } catch (err) {
      console.warn(
        `No packages for ${language}: ${err instanceof Error ? err.message : err}. Skipped.`,
      );
      return false;
    }
    await writeFile(fetched, wanted);
  }
  if (compile) await run(language, compile);
  return true;
}

const run = (language: Language, command: string[]) =>
  promisify(execFile)("nice", command, { cwd: source(language), timeout: 800_000 });

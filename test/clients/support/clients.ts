import { build, built, type Language, source } from "./build.ts";

/** A public client. Its program is `file`, as docs/clients.md shows it. */
export interface Client {
  name: string;
  language: Language;
  file: string;
  /** Undefined for a page in Chromium. */
  command?: string[];
}

const node = (name: string): Client => ({
  name: `${name} (Node)`,
  language: "node",
  file: `node/${name}.js`,
  command: [process.execPath, built(`node/${name}.js`)],
});
const python = (name: string): Client => ({
  name: `${name} (Python)`,
  language: "python",
  file: `python/${name}.py`,
  command: [built("python/bin/python"), source(`python/${name}.py`)],
});
const go = (name: string): Client => ({
  name: `${name} (Go)`,
  language: "go",
  file: `go/${name}/main.go`,
  command: [built(`go/${name}`)],
});
const java = (name: string): Client => ({
  name: `${name} (Java)`,
  language: "java",
  file: `java/${name}.java`,
  command: ["java", "-Xmx64m", "-cp", `${built("java")}:${built("java/jars")}/*`, name],
});
const rust = (name: string): Client => ({
  name: `${name} (Rust)`,
  language: "rust",
  file: `rust/src/bin/${name}.rs`,
  command: [built(`rust/debug/${name}`)],
});

export const CLIENTS: Client[] = [
  { name: "EventSource (browser)", language: "browser", file: "browser/eventsource.js" },
  node("eventsource"),
  node("eventsource-2"),
  node("eventsource-client"),
  node("fetch-event-source"),
  node("launchdarkly-eventsource"),
  node("undici"),
  python("httpx-sse"),
  python("sseclient-py-requests"),
  python("sseclient-py-urllib3"),
  python("requests-sse"),
  python("aiohttp-sse-client2"),
  python("launchdarkly-eventsource"),
  go("r3labs"),
  go("tmaxmax"),
  go("launchdarkly"),
  go("donovanhide"),
  java("OkHttpSse"),
  java("OkHttpEventSource"),
  rust("reqwest-eventsource"),
  rust("eventsource-client"),
];

const only = process.env.CLIENTS?.split(",");

/** Builds and returns the clients that can run here. If `CLIENTS=Rust,undici` is set, only those. */
export async function buildClients(): Promise<Client[]> {
  const chosen = CLIENTS.filter(({ name }) => !only || only.some((part) => name.includes(part)));
  const isBuilt = new Map<Language, boolean>();
  for (const { language } of chosen)
    if (!isBuilt.has(language)) isBuilt.set(language, await build(language));
  return chosen.filter(({ language }) => isBuilt.get(language));
}

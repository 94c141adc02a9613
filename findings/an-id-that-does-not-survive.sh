#!/usr/bin/env bash
# A reconnected event stream may make its client forget where it was: one event without an `id` is enough.
#
# Everybody takes it that the last id stays until the server sends another. By the letter of the HTML standard (9.2.6) each stream that
# is parsed begins with an empty "last event ID buffer", and each blank line copies that buffer into the object's last event ID. So an
# event without an id that comes before any with one, a hello or a heartbeat, clears it, and the next reconnection has no
# Last-Event-ID: what came meanwhile is lost. JavaScript's clients do not follow the letter; two of Rust do:
#
#   eventsource.mjs                    second request: 7   third request: 7          (npm, 4.1.1)
#   undici.mjs                         second request: 7   third request: 7          (npm, 7.30.2)
#   target/debug/reqwest-eventsource   second request: 7   third request: (empty)    (crates.io, 0.6.0)
#   target/debug/eventsource-client    second request: 7   third request: (none)     (crates.io, 0.18.0)
#
# The server here answers first `id: 7` with data, then, to the second request, one event without an id. A server is safe if the first
# event of every stream has an id, also of one that only sends the client away. (cargo builds for about a minute. Rust 1.95, Node 20.20.)
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install --ignore-scripts eventsource@4.1.1 undici@7.30.2 >>npm.log

mkdir -p src/bin
cat >Cargo.toml <<'TOML'
[package]
name = "ids"
version = "0.0.0"
edition = "2024"
[dependencies]
eventsource-client = "=0.18.0"
futures-util = { version = "=0.3.31", default-features = false }
launchdarkly-sdk-transport = { version = "=0.1.4", default-features = false }
reqwest = { version = "=0.12.24", default-features = false }
reqwest-eventsource = "=0.6.0"
tokio = { version = "=1.48.0", features = ["macros", "rt", "time"] }
TOML
cat >src/bin/reqwest-eventsource.rs <<'RUST'
use futures_util::StreamExt;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut stream = reqwest_eventsource::EventSource::get(std::env::var("URL").unwrap());
    while stream.next().await.is_some() {}
}
RUST
cat >src/bin/eventsource-client.rs <<'RUST'
use eventsource_client::{Client, ClientBuilder};
use futures_util::StreamExt;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let transport = launchdarkly_sdk_transport::HyperTransport::builder().build_http().unwrap();
    let client = ClientBuilder::for_url(&std::env::var("URL").unwrap()).unwrap().build_with_transport(transport);
    let mut stream = client.stream();
    while stream.next().await.is_some() {}
}
RUST
cargo build -q
cat >eventsource.mjs <<'JS'
import { EventSource } from "eventsource";
new EventSource(process.env.URL);
JS
cat >undici.mjs <<'JS'
import { EventSource } from "undici";
new EventSource(process.env.URL);
setInterval(() => {}, 1000);
JS

cat >ids.mjs <<'JS'
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";

const BODIES = ["retry: 500\nid: 7\ndata: hello\n\n", "retry: 500\ndata: no id\n\n", "data: enough\n\n"];

async function idsOf(command) {
  const ids = [];
  let done;
  const third = new Promise((resolve) => { done = resolve; });
  const server = createServer((req, res) => {
    ids.push(req.headers["last-event-id"] ?? "(none)");
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.end(BODIES[Math.min(ids.length, 3) - 1]);
    if (ids.length === 3) done();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const [program, ...args] = command;
  const env = { ...process.env, URL: `http://127.0.0.1:${server.address().port}` };
  const child = spawn(program, args, { env, stdio: "ignore" });
  await Promise.race([third, new Promise((resolve) => setTimeout(resolve, 20_000))]);
  child.kill();
  server.close();
  return ids.slice(1, 3).map((id) => id || "(empty)");
}

const expected = [
  [["node", "eventsource.mjs"], "7 7"],
  [["node", "--no-warnings", "undici.mjs"], "7 7"],
  [["target/debug/reqwest-eventsource"], "7 (empty)"],
  [["target/debug/eventsource-client"], "7 (none)"],
];
let isSo = true;
for (const [command, wanted] of expected) {
  const [second, third] = await idsOf(command);
  console.log(command.at(-1).padEnd(34), "second request:", second, "  third request:", third);
  if (`${second} ${third}` !== wanted) isSo = false;
}
process.exit(isSo ? 0 : 1);
JS
node ids.mjs

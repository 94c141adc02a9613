#!/usr/bin/env bash
# A Node server accepts one connection in each turn of its event loop, however many wait.
#
# Node 18.20.8 (libuv 1.44.2) accepts all that wait; 20.20.2 (1.46.0) and 24.21.0 (1.52.1) accept one, and then run everything else
# that is due. Here 64 clients connect while the server is busy, and it then counts what it accepts in each turn:
#
#   18.20.8: 64 connections in 1 turn
#   20.20.2: 64 connections in 64 turns
#   24.21.0: 64 connections in 64 turns
#
# So a server that does a millisecond of work for each new connection accepts at most a thousand a second. If thousands connect at once, as after a
# restart, the kernel's queue overflows, and the clients' kernels try again after 1, 3, 7, 15, 31 and 63 s. Bellwire accepts in most turns
# without serving anybody while connections come (src/http/accept-queue.ts).
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >accept.cjs <<'JS'
const { spawn } = require("node:child_process");
const { createServer } = require("node:net");

const CLIENTS = 64;
const CLIENT = `
  let open = 0;
  for (let i = 0; i < ${CLIENTS}; i++)
    require("node:net").connect(+process.argv[1], "127.0.0.1", () => {
      if (++open === ${CLIENTS}) process.stdout.write("all are connected");
    });`;
let turn = 0;
let accepted = 0;
const turns = new Set();

const server = createServer(() => {
  turns.add(turn);
  if (++accepted === CLIENTS) finish();
});
let client;
server.listen(0, "127.0.0.1", () => {
  client = spawn(process.execPath, ["-e", CLIENT, server.address().port], { stdio: ["ignore", "pipe", "inherit"] });
  // The kernel completes connections that nobody has accepted. It is busy for longer than the client needs.
  for (const until = Date.now() + 3000; Date.now() < until; );
  count();
});

function count() {
  turn++;
  if (accepted < CLIENTS) setImmediate(count);
}

function finish() {
  console.log(`${process.versions.node}: ${accepted} connections in ${turns.size} turn${turns.size > 1 ? "s" : ""}`);
  client.kill();
  process.exit();
}
JS

for version in 18.20.8 20.20.2 24.21.0; do
  mkdir "$version"
  npm install --prefix "$version" --no-save --no-audit --no-fund "node@$version" >npm.log 2>&1
  "$version/node_modules/node/bin/node" accept.cjs
done | tee seen

diff seen - <<'SEEN'
18.20.8: 64 connections in 1 turn
20.20.2: 64 connections in 64 turns
24.21.0: 64 connections in 64 turns
SEEN

#!/usr/bin/env bash
# An event stream that is silent for five seconds is cut by its own client, which was given no time-out.
#
# launchdarkly-eventsource 2.2.0 (npm) on Node 20.20.2, no options. Node's global agent has a time-out of 5 s since Node 19, for
# connections that wait idle in its pool; its sockets keep it while they serve a request, and the request emits "timeout",
# which Node itself does nothing about. A library that listens for the event in order to honour its own option, and leaves it at
# Node's where the option is not set, cuts every stream that is quieter than that, and comes again, for ever:
#
#   seconds from one request to the next: 6.0 6.0
#   error: Read timeout, received no data in undefinedms, assuming connection is dead
#
# So heartbeats of 15 s, which every proxy is content with, are too slow for it; `readTimeoutMillis: 60_000` cures it.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install --ignore-scripts launchdarkly-eventsource@2.2.0 >>npm.log

cat >silence.cjs <<'JS'
const { createServer } = require("node:http");
const { EventSource } = require("launchdarkly-eventsource");

const times = [];
const server = createServer((_, res) => {
  times.push(performance.now());
  res.writeHead(200, { "Content-Type": "text/event-stream" });
  res.write("data: hello\n\n"); // and nothing more
  if (times.length === 3) finish();
});
let said = "";
server.listen(0, "127.0.0.1", () => {
  const stream = new EventSource(`http://127.0.0.1:${server.address().port}`);
  stream.addEventListener("error", ({ message }) => { said = message; });
});
setTimeout(finish, 20_000);

function finish() {
  const gaps = times.slice(1).map((time, i) => (time - times[i]) / 1000);
  console.log("seconds from one request to the next:", ...gaps.map((gap) => gap.toFixed(1)));
  console.log("error:", said);
  const isCut = gaps.length === 2 && gaps.every((gap) => gap > 4 && gap < 9);
  process.exit(isCut && said.includes("no data in undefinedms") ? 0 : 1);
}
JS
node silence.cjs

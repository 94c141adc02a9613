#!/usr/bin/env bash
# A fetch that may send cookies never ends in headless Chromium if the response is 401 with a Basic challenge. An EventSource has no error.
#
# Chromium 156 asks the user for the name and password before the script learns the status. Without a window nobody is asked, and the request waits
# until the script aborts it. The same request with `credentials: "omit"`, and a 401 without a challenge, end at once:
#
#   401 without a challenge, fetch, omit: 401
#   401 without a challenge, fetch, same-origin: 401
#   401 without a challenge, EventSource: error, closed
#   401 with Basic, fetch, omit: 401
#   401 with Basic, fetch, same-origin: nothing in 5 s
#   401 with Basic, EventSource: nothing in 5 s, connecting
#
# `same-origin` is the default. So each request of a page needs a limit, also where its server is known to answer, because a proxy in between may
# ask for a password. Needs Debian's chromium, or CHROMIUM_PATH. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --no-save --no-audit --no-fund playwright-core@1.65.1 >npm.log 2>&1

cat >ask.mjs <<'JS'
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const WAIT_MS = 5000;
const NOTHING = `nothing in ${WAIT_MS / 1000} s`;

const server = createServer((req, res) => {
  if (req.url === "/") return void res.setHeader("content-type", "text/html").end("<!doctype html><title>Page</title>");
  res.writeHead(401, req.url === "/with" ? { "www-authenticate": 'Basic realm="proxy"' } : {}).end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const executablePath = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--headless=new", "--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);

const fetched = ([path, credentials, ms]) =>
  fetch(path, { credentials, signal: AbortSignal.timeout(ms) }).then(({ status }) => status, ({ name }) => name);
const opened = ([path, ms]) =>
  new Promise((resolve) => {
    const source = new EventSource(path);
    const state = () => ["connecting", "open", "closed"][source.readyState];
    source.onerror = () => resolve(`error, ${state()}`);
    setTimeout(() => resolve(`nothing in ${ms / 1000} s, ${state()}`), ms);
  });

for (const [path, what] of [["/without", "401 without a challenge"], ["/with", "401 with Basic"]]) {
  for (const credentials of ["omit", "same-origin"]) {
    const result = await page.evaluate(fetched, [path, credentials, WAIT_MS]);
    console.log(`${what}, fetch, ${credentials}: ${result === "TimeoutError" ? NOTHING : result}`);
  }
  console.log(`${what}, EventSource: ${await page.evaluate(opened, [path, WAIT_MS])}`);
}
await browser.close();
server.close();
server.closeAllConnections();
JS
node ask.mjs | tee seen

diff seen - <<'SEEN'
401 without a challenge, fetch, omit: 401
401 without a challenge, fetch, same-origin: 401
401 without a challenge, EventSource: error, closed
401 with Basic, fetch, omit: 401
401 with Basic, fetch, same-origin: nothing in 5 s
401 with Basic, EventSource: nothing in 5 s, connecting
SEEN

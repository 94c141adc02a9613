#!/usr/bin/env bash
# Where `sh` is dash, as in Debian and Ubuntu, SIGTERM ends npx and `npm run`, and the program that they started goes on without them.
#
# npm passes SIGTERM to what it started, and waits for its end. That is not the program but a shell, `sh -c program`. bash gives its
# place to the program, so the program gets the signal; dash stays as its parent, dies of the signal and passes nothing on. npm
# then ends as well, with the status of a program that was ended, while the program still answers at its port; who supervises npx
# or `npm run`, and starts another, has two.
#
#   npm 10.8.2 (the same: 11.19.1) on Node 20.20.2, dash 0.5.12, bash 5.2:
#     npx program: ended by SIGTERM; the program goes on
#     npm run start: ended by SIGTERM; the program goes on
#     npx --script-shell=bash program: ended by SIGTERM; the program too
#     npm run start-exec: ended by SIGTERM; the program too
#     node_modules/.bin/program: ended by SIGTERM; the program too
#
# So start node_modules/.bin/program, or begin the script with `exec` as start-exec does, where something else ends it.
# Exits with 0 while this is so.
set -euo pipefail
[ "$(readlink -f "$(command -v sh)")" = "$(readlink -f "$(command -v dash)")" ] || { echo "Only where sh is dash." >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir program
cat >program/package.json <<'JSON'
{ "name": "program", "version": "1.0.0", "bin": "program.js" }
JSON
cat >program/program.js <<'JS'
#!/usr/bin/env node
const server = require("node:http").createServer((req, res) => {
  res.end("here", () => { if (req.url === "/end") process.exit(); });
});
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}.`));
setTimeout(() => process.exit(), 120_000); // if this script is killed, and cannot end it
JS
cat >package.json <<'JSON'
{ "private": true, "scripts": { "start": "program", "start-exec": "exec program" } }
JSON
npm install --ignore-scripts ./program npm-10@npm:npm@10.8.2 npm-11@npm:npm@11.19.1 >npm.log

cat >run.mjs <<'JS'
import { spawn } from "node:child_process";
import { once } from "node:events";

async function portOf(child) {
  let output = "";
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk;
    const port = output.match(/port (\d+)\./)?.[1];
    if (port) return port;
  }
  throw new Error(`Not started: ${output}`);
}

async function afterSigterm([command, ...args]) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const url = `http://127.0.0.1:${await portOf(child)}/end`;
  child.kill("SIGTERM");
  const [, signal] = await ended;
  const answer = await fetch(url).then((res) => res.text(), () => "");
  return `ended by ${signal}; the program ${answer === "here" ? "goes on" : "too"}`;
}

const bin = `node_modules/${process.argv[2]}/bin`;
const npx = ["node", `${bin}/npx-cli.js`];
const run = ["node", `${bin}/npm-cli.js`, "run"];
console.log("npx program:", await afterSigterm([...npx, "program"]));
console.log("npm run start:", await afterSigterm([...run, "start"]));
console.log("npx --script-shell=bash program:", await afterSigterm([...npx, "--script-shell=bash", "program"]));
console.log("npm run start-exec:", await afterSigterm([...run, "start-exec"]));
console.log("node_modules/.bin/program:", await afterSigterm(["node_modules/.bin/program"]));
JS
for npm in npm-10 npm-11; do
  echo "$npm"
  node run.mjs "$npm" | tee seen
  diff seen - <<'TEXT'
npx program: ended by SIGTERM; the program goes on
npm run start: ended by SIGTERM; the program goes on
npx --script-shell=bash program: ended by SIGTERM; the program too
npm run start-exec: ended by SIGTERM; the program too
node_modules/.bin/program: ended by SIGTERM; the program too
TEXT
done

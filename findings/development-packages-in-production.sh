#!/usr/bin/env bash
# With @prisma/client as a dependency, `npm ci --omit=dev` installs the devDependencies prisma and typescript, and what they need.
#
# @prisma/client has both as optional peer dependencies. For npm, a package that is a development dependency and an optional peer of
# one that is not is neither ("devOptional" in the lockfile), and goes only if `dev` and `optional` are both omitted. So
# production gets the command line, its engines and the compiler, which it did not get if the project had no devDependencies;
# `--omit=peer`, which one would think of first, changes nothing in that, and `--omit=optional` takes with it each optional
# dependency that production needs, such as the native programs of others.
#
#   npm 11.19.1 on Node 20.20.2; @prisma/client, prisma 7.10.0, typescript 7.0.2; npm ci:
#     no devDependencies, --omit=dev: @prisma/client
#     --omit=dev: @prisma/client prisma typescript
#     --omit=dev --omit=peer: @prisma/client prisma typescript
#     --omit=dev --omit=optional: @prisma/client
#
# The folder node_modules was of 333 MB with `--omit=dev` alone, and of 72 MB with `--omit=optional` as well.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install --ignore-scripts npm@11.19.1 >>npm.log
mkdir without with
cat >without/package.json <<'JSON'
{ "private": true, "dependencies": { "@prisma/client": "7.10.0" } }
JSON
cat >with/package.json <<'JSON'
{
  "private": true,
  "dependencies": { "@prisma/client": "7.10.0" },
  "devDependencies": { "prisma": "7.10.0", "typescript": "7.0.2" }
}
JSON
npm() { node "$folder/node_modules/npm/bin/npm-cli.js" --ignore-scripts --no-audit --no-fund --loglevel=error "$@"; }
installed() {
  npm ci "$@" >>../npm.log
  echo "$*:" $(cd node_modules; find @prisma/client prisma typescript -maxdepth 0 2>/dev/null)
}
{
  cd without
  npm install --package-lock-only >>../npm.log
  echo "no devDependencies, $(installed --omit=dev)"
  cd ../with
  npm install --package-lock-only >>../npm.log
  installed --omit=dev
  installed --omit=dev --omit=peer
  installed --omit=dev --omit=optional
} | tee seen
diff seen - <<'TEXT'
no devDependencies, --omit=dev: @prisma/client
--omit=dev: @prisma/client prisma typescript
--omit=dev --omit=peer: @prisma/client prisma typescript
--omit=dev --omit=optional: @prisma/client
TEXT

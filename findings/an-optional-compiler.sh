#!/usr/bin/env bash
# `npm ci --omit=optional` installs TypeScript 7 without its compiler: npm says nothing, and `tsc` is there and cannot run.
#
# `--omit=optional` is meant for what a package can do without. Up to version 6, TypeScript has no dependencies, and the flag is
# harmless; in 7 the compiler is a native program in a package for each platform, which are optional dependencies. `npm ci`
# and `npm ls` succeed without it, so a build that was right fails after the upgrade, at the first `tsc`:
#
#   npm 10.8.2 (the same: 11.19.1) on Node 20.20.2, linux-x64; `npm ci --omit=optional`:
#     typescript 6.0.3: npm ci 0, npm ls 0, tsc 0 Version 6.0.3
#     typescript 7.0.2: npm ci 0, npm ls 0, tsc 1 Error: Unable to resolve @typescript/typescript-linux-x64.
#
# A way that is right: not to omit optional dependencies where tsc is to run.
# Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >npm.log
npm install --ignore-scripts npm-10@npm:npm@10.8.2 npm-11@npm:npm@11.19.1 >>npm.log
platform=$(node -p 'process.platform + "-" + process.arch')
mkdir project
cd project
for npm in npm-10 npm-11; do
  echo "$npm"
  npm() { node "$folder/node_modules/$npm/bin/npm-cli.js" --ignore-scripts --no-audit --no-fund "$@"; }
  for version in 6.0.3 7.0.2; do
    rm -rf node_modules package-lock.json
    echo "{ \"private\": true, \"devDependencies\": { \"typescript\": \"$version\" } }" >package.json
    npm install --package-lock-only >>../npm.log
    ci=0; npm ci --omit=optional >>../npm.log || ci=$?
    ls=0; npm ls >>../npm.log || ls=$?
    tsc=0; node_modules/.bin/tsc --version >said 2>&1 || tsc=$?
    echo "typescript $version: npm ci $ci, npm ls $ls, tsc $tsc $(grep -oE '^(Version .*|Error: [^.]*\.)' said)"
  done | tee seen
  diff seen - <<TEXT
typescript 6.0.3: npm ci 0, npm ls 0, tsc 0 Version 6.0.3
typescript 7.0.2: npm ci 0, npm ls 0, tsc 1 Error: Unable to resolve @typescript/typescript-$platform.
TEXT
done

#!/usr/bin/env node
// Prisma's schema engine as a program, without the download: npm's WebAssembly build of it, behind the protocol of the binary (JSON-RPC, a
// line a message). PRISMA_SCHEMA_ENGINE_BINARY names this file.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";
import pg from "pg";
import parse from "pg-connection-string";

const CHAR = 18; // the type "char", which the catalogs have and the adapter does not know
const args = process.argv.slice(2);
const valuesOf = (flag) => args.flatMap((arg, i) => (arg === flag ? [args[i + 1]] : []));
if (args.includes("cli")) process.exit(0); // can-connect-to-database
const { url } = JSON.parse(valuesOf("--datasource")[0] ?? "{}");
const settings = url ? parse(url) : {};
const datamodels = valuesOf("--datamodels").map((path) => [path, readFileSync(path, "utf8")]);

const require = createRequire(import.meta.url);
const wasm = require.resolve("@prisma/schema-engine-wasm/schema_engine_bg").replace(/js$/, "wasm");
const imports = { "./schema_engine_bg.js": bindings };
const { instance } = await WebAssembly.instantiate(readFileSync(wasm), imports);
bindings.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

// `migrate diff` names none, and the engine does not take an empty list.
const options = datamodels.length > 0 ? { datamodels } : {};
const engine = await bindings.SchemaEngine.new(options, () => {}, adapter());
const say = (message) =>
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (!method) continue; // the answer to a print
  try {
    const result = await engine[method === "getDatabaseVersion" ? "version" : method](params);
    if (result?.stdout) say({ id: 1000 + id, method: "print", params: { content: result.stdout } });
    say({ id, result: result ?? null });
  } catch ({ message, code, meta }) {
    say({
      id,
      error: { code: 4466, message, data: { is_panic: false, message, meta, error_code: code } },
    });
  }
}
process.exit();

function adapter() {
  const factory = new PrismaPg(settings);
  return bindMigrationAwareSqlAdapterFactory({
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: async () => asEngineExpects(await factory.connect()),
    connectToShadowDb,
  });
}

/** The adapter's own drops the database while it is connected to it. */
async function connectToShadowDb() {
  const database = `prisma_migrate_shadow_db_${randomUUID()}`;
  await administer(`create database "${database}"`);
  const connection = asEngineExpects(await new PrismaPg({ ...settings, database }).connect());
  const dispose = connection.dispose.bind(connection);
  connection.dispose = async () => {
    await dispose();
    await administer(`drop database "${database}" with (force)`);
  };
  return connection;
}

async function administer(sql) {
  const client = new pg.Client(settings);
  await client.connect();
  await client.query(sql).finally(() => client.end());
}

/** Knows the type "char", and does not split a script at semicolons that are within a literal. */
function asEngineExpects(connection) {
  connection.executeScript = async (script) => {
    await connection
      .underlyingDriver()
      .query(script)
      .catch((err) => connection.onError(err));
  };
  const { performIO, queryRaw } = connection;
  let chars = [];
  connection.performIO = async (query) => {
    // A text of several statements has several results.
    const result = [await performIO.call(connection, query)].flat().at(-1);
    chars = result.fields.map(({ dataTypeID }) => dataTypeID === CHAR);
    for (const [i, field] of result.fields.entries())
      if (chars[i]) field.dataTypeID = pg.types.builtins.TEXT;
    return result;
  };
  connection.queryRaw = async (query) => {
    const result = await queryRaw.call(connection, query);
    result.columnTypes = result.columnTypes.map((type, i) =>
      chars[i] ? ColumnTypeEnum.Character : type,
    );
    return result;
  };
  return connection;
}

import { defineConfig } from "prisma/config";

// `prisma generate` looks for a schema engine that it does not use, and would download one. Any existing file will do. Remove this
// line to use `prisma migrate`.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({
  schema: "prisma/schema.prisma",
  // Not `env("DATABASE_URL")`, which `prisma generate` cannot do without.
  datasource: { url: process.env.DATABASE_URL ?? "" },
});

import { defineConfig } from "prisma/config";

// `prisma generate` looks for a schema engine it does not use, and would download one. Any existing file will do.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({ schema: "src/db/schema.prisma" });

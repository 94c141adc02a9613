import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "../generated/prisma/client";

// `next dev` loads this file again after each change; the global object keeps the first client's connections.
const kept = globalThis as { database?: PrismaClient };
kept.database ??= new PrismaClient({
  adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
export const database = kept.database;

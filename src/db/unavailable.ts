import pg from "pg";
import { Prisma } from "./generated/client.ts";
import { isArgumentError, isTransient } from "./read-errors.ts";

/** The database could not be reached or did not answer; a retry may succeed. `cause` says why. */
export class DatabaseUnavailableError extends Error {
  constructor(cause: unknown) {
    super("The database does not answer", { cause });
    this.name = "DatabaseUnavailableError";
  }
}

/** Resolves to the answer. Throws DatabaseUnavailableError if the database did not answer. Other errors are thrown unchanged. */
export async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (err) {
    throw isUnavailable(err) ? new DatabaseUnavailableError(err) : err;
  }
}

/** Prisma's codes for: not reachable, timed out, closed, too many connections, no transaction available. */
const PRISMA_UNAVAILABLE = new Set([
  "P1001",
  "P1002",
  "P1008",
  "P1011",
  "P1017",
  "P2024",
  "P2028",
  "P2037",
]);

/**
 * An error with a SQLSTATE is an answer, which may be that the server is shutting down. Any other error of `pg` means that the
 * connection could not be made or was lost; these have no common code.
 */
function isUnavailable(err: unknown): boolean {
  if (!(err instanceof Error) || isArgumentError(err) || err instanceof TypeError) return false;
  if (err instanceof Prisma.PrismaClientValidationError) return false;
  const state = sqlStateOf(err);
  // 28, 3D: login refused, no such database. A retry succeeds when a person has fixed that. 54000, from a write of the inbox: the
  // queue of notifications is full. Soon wake-ups are suspended (`watchNotifyQueue`), and then a retry succeeds.
  if (state !== undefined) return isTransient(state) || /^(28|3D|54000)/.test(state);
  if (err instanceof Prisma.PrismaClientKnownRequestError) return PRISMA_UNAVAILABLE.has(err.code);
  return true;
}

/** The database's encoding lacks a character of the text, so no row can contain it. */
export const isUntranslatable = (err: unknown) =>
  err instanceof Error && sqlStateOf(err) === "22P05";

/** Undefined if the error did not come from PostgreSQL. */
export function sqlStateOf(err: unknown): string | undefined {
  if (err instanceof pg.DatabaseError) return err.code;
  if (!(err instanceof Prisma.PrismaClientKnownRequestError)) return undefined;
  const { driverAdapterError } = err.meta as { driverAdapterError?: { cause?: DriverCause } };
  return driverAdapterError?.cause?.originalCode;
}

/** How `@prisma/adapter-pg` passes on an error of `pg`. */
interface DriverCause {
  originalCode?: string;
}

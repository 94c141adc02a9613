import pg from "pg";
import { Prisma } from "./generated/client.ts";
import { isArgumentError, isTransient } from "./read-errors.ts";

/** The database could not be asked or did not answer, and next time it may. `cause` says why. */
export class DatabaseUnavailableError extends Error {
  constructor(cause: unknown) {
    super("The database does not answer", { cause });
    this.name = "DatabaseUnavailableError";
  }
}

/** The same answer; throws DatabaseUnavailableError where there was none, and what the database refuses as it is. */
export async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (err) {
    throw isUnavailable(err) ? new DatabaseUnavailableError(err) : err;
  }
}

/** Prisma's own words for it: not reachable, timed out, closed, too many, no transaction to be had. */
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
 * An error with a SQLSTATE is an answer, which may be that the server is shutting down. What else `pg` throws is a
 * connection that could not be had or was lost, and carries no code to tell it by.
 */
function isUnavailable(err: unknown): boolean {
  if (!(err instanceof Error) || isArgumentError(err) || err instanceof TypeError) return false;
  if (err instanceof Prisma.PrismaClientValidationError) return false;
  const state = sqlStateOf(err);
  // 28, 3D: not let in, no such database. Somebody must see to that, and then it is back. 54000, of what the inbox writes:
  // the queue of notifications is full, and soon none will be sent (`watchNotifyQueue`).
  if (state !== undefined) return isTransient(state) || /^(28|3D|54000)/.test(state);
  if (err instanceof Prisma.PrismaClientKnownRequestError) return PRISMA_UNAVAILABLE.has(err.code);
  return true;
}

/** A text has a character that the database's encoding has not: no row has it, and none can get it. */
export const isUntranslatable = (err: unknown) =>
  err instanceof Error && sqlStateOf(err) === "22P05";

/** Undefined where it is no answer of PostgreSQL's. */
export function sqlStateOf(err: unknown): string | undefined {
  if (err instanceof pg.DatabaseError) return err.code;
  if (!(err instanceof Prisma.PrismaClientKnownRequestError)) return undefined;
  const { driverAdapterError } = err.meta as { driverAdapterError?: { cause?: DriverCause } };
  return driverAdapterError?.cause?.originalCode;
}

/** What `@prisma/adapter-pg` makes of an error of `pg`. */
interface DriverCause {
  originalCode?: string;
}

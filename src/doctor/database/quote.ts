import pg from "pg";

/** A name as it stands in SQL, quoted only where that is needed. */
export const ident = (name: string): string =>
  pg.escapeIdentifier(name).replace(/^"([a-z_][a-z0-9_]*)"$/, "$1");

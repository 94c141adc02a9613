/** The same server and user, another database. Not `new URL()`: `postgres://user@/db?host=/tmp` is none. */
export function urlOfDatabase(url: string, database: string): string {
  return url.replace(/^([^:]+:\/\/[^/?]*)(\/[^?]*)?/, `$1/${database}`);
}

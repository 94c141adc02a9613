/** The same server and user, another database. Not by `new URL()`, because `postgres://user@/db?host=/tmp` is not a URL. */
export function urlOfDatabase(url: string, database: string): string {
  return url.replace(/^([^:]+:\/\/[^/?]*)(\/[^?]*)?/, `$1/${database}`);
}

import { expect, vi } from "vitest";
import type { TestDatabase } from "./database.ts";

/**
 * Vacuums and analyzes the notifications until every page is marked as all-visible. VACUUM leaves a page out while any snapshot in
 * this database is older than its rows (that of an autovacuum worker, for one), or while their commit is not on disk.
 */
export async function vacuumNotifications(database: TestDatabase): Promise<void> {
  await vi.waitFor(
    async () => {
      await database.query("vacuum analyze bellwire.notifications");
      const [pages] = await database.query(
        `select relpages as all, relallvisible as visible
           from pg_class
          where oid = 'bellwire.notifications'::regclass`,
      );
      expect(pages?.visible).toBe(pages?.all);
    },
    { timeout: 30_000 },
  );
}

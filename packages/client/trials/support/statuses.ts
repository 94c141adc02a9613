import { expect } from "vitest";
import type { Shown } from "./bell-page.ts";

/** `connecting` becomes `offline` after 10 s. A busy machine's timers are late. */
const [OFFLINE_MS, LATE_MS] = [10_000, 2000];

/** After an outage: `connecting` for 10 s at most, then `offline`, then one of the given statuses, and nothing else. */
export function expectHonest({ statuses }: Shown, reached: readonly string[] = ["live"]): void {
  expect([...reached, "connecting", "offline"]).toEqual(
    expect.arrayContaining(statuses.map(([status]) => status)),
  );
  for (const [i, [status, at]] of statuses.entries()) {
    const [next, nextAt = at] = statuses[i + 1] ?? [];
    if (status === "connecting") expect(nextAt - at).toBeLessThan(OFFLINE_MS + LATE_MS);
    if (next !== "offline") continue;
    expect(status).toBe("connecting");
    expect(nextAt - at).toBeGreaterThan(OFFLINE_MS - 100);
  }
}

import { onTestFinished } from "vitest";
import { type BellOptions, createBell } from "../../src/bell.ts";
import type { Shown } from "./bell-page.ts";

/** A bell in this process, where a browser would add nothing. It is closed when the test ends. */
export function openNodeBell(options: BellOptions) {
  const bell = createBell(options);
  onTestFinished(bell.close);
  const shown: Shown = {
    statuses: [[bell.getSnapshot().status, Date.now()]],
    rang: [],
    rangAt: [],
  };
  bell.on("status", (status) => shown.statuses.push([status, Date.now()]));
  bell.on("notification", ({ title }) => {
    shown.rang.push(title ?? "");
    shown.rangAt.push(Date.now());
  });
  return { bell, shown, status: () => bell.getSnapshot().status };
}

import { type Finding, look, well } from "../finding.ts";
import type { Head } from "./request.ts";

const MAX_SECONDS = 5;

/** How far the clock that wrote `Date` is ahead of this machine's; 0 if there is none. It is right to a second. */
export function skewSeconds({ headers, receivedAt }: Head): number {
  const date = Date.parse(headers.date ?? "");
  // `Date` is cut to the second, so on average it is half a second old.
  return Number.isNaN(date) ? 0 : (date + 500 - receivedAt.getTime()) / 1000;
}

export function checkClock(head: Head): Finding {
  const skew = skewSeconds(head);
  if (Math.abs(skew) <= MAX_SECONDS)
    return well("way_clock", "the clock behind the URL agrees with this machine's");
  return look("way_clock", {
    seen: `the clock behind the URL is ${describeSkew(skew)} (Date: ${head.headers.date})`,
    why: "Tokens are judged by the service's clock: one from a clock that is 30 s ahead (JWT_LEEWAY_SECONDS) is refused, and others end too early or too late.",
    fix: "Run NTP on both machines: timedatectl set-ntp true",
  });
}

export const describeSkew = (seconds: number): string =>
  `${Math.round(Math.abs(seconds))} s ${seconds > 0 ? "ahead of" : "behind"} this machine's`;

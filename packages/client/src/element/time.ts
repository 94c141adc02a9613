const STEPS: [unit: Intl.RelativeTimeFormatUnit, seconds: number, below: number][] = [
  ["second", 1, 45],
  ["minute", 60, 3600],
  ["hour", 3600, 86_400],
  ["day", 86_400, 7 * 86_400],
];

export type Clock = ReturnType<typeof createClock>;

/** Formats times for a language. */
export function createClock(language: string) {
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const date = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
  const absolute = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });

  return {
    /** As in "5 min. ago" for a week, and then the date. A time that no clock has, as `infinity`, stays as it is. */
    ago(time: string, now = Date.now()): string {
      const at = Date.parse(time);
      if (Number.isNaN(at)) return time;
      // The clocks of service and browser differ a little: nothing comes from the next minute.
      const seconds = Math.round((at - now) / 1000);
      if (seconds > 60) return date.format(at);
      const past = Math.max(0, -seconds);
      const step = STEPS.find(([, , below]) => past < below);
      if (!step) return date.format(at);
      const [unit, length] = step;
      return unit === "second"
        ? relative.format(0, "second")
        : relative.format(-Math.max(1, Math.floor(past / length)), unit);
    },

    absolute(time: string): string {
      const at = Date.parse(time);
      return Number.isNaN(at) ? time : absolute.format(at);
    },
  };
}

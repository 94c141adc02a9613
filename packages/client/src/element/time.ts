/** In seconds: below this age, in this unit, of this length. The first has no number: it is "now". */
const STEPS: [below: number, unit: Intl.RelativeTimeFormatUnit, length: number][] = [
  [60, "second", Number.POSITIVE_INFINITY],
  [3600, "minute", 60],
  [86_400, "hour", 3600],
  [604_800, "day", 86_400],
];

/** Formats times for a language. A time that no clock has, as `infinity`, stays as it is. */
export function createClock(language: string) {
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });

  function absolute(time: string, how: Intl.DateTimeFormatOptions): string {
    const at = new Date(time);
    return Number.isNaN(+at) ? time : at.toLocaleString(language, how);
  }

  return {
    /** As in "5 min. ago" for a week, and then the date. */
    ago(time: string, now = Date.now()): string {
      const age = (now - Date.parse(time)) / 1000;
      // The clocks of service and browser differ a little: nothing comes from the next minute.
      const step = age > -60 && STEPS.find(([below]) => age < below);
      if (!step) return absolute(time, { dateStyle: "medium" });
      const [, unit, length] = step;
      return relative.format(-Math.floor(age / length), unit);
    },

    absolute: (time: string) => absolute(time, { dateStyle: "full", timeStyle: "short" }),
  };
}

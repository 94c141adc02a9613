import { make } from "./dom.ts";

/** A burst is over after this pause. */
const QUIET_MS = 700;
/** And is spoken after this time at the latest. */
const LATEST_MS = 3000;

/** The only live region of the bell: it says what has come once for a burst, and what an action could not do. */
export function createAnnouncer() {
  const region = make("div", { class: "spoken", role: "status", "aria-live": "polite" });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let firstAt = 0;
  let titles: string[] = [];

  function say(text: string): void {
    // The same text again would not be a change.
    region.textContent = region.textContent === text ? `${text}\u00a0` : text;
  }

  return {
    region,
    say,
    /** `summary` makes the text for more than one. */
    arrived(title: string, summary: (count: number) => string): void {
      if (titles.length === 0) firstAt = Date.now();
      titles.push(title);
      clearTimeout(timer);
      const pause = Math.min(QUIET_MS, firstAt + LATEST_MS - Date.now());
      timer = setTimeout(() => {
        say(titles.length === 1 ? title : summary(titles.length));
        titles = [];
      }, pause);
    },
    clear(): void {
      clearTimeout(timer);
      titles = [];
      region.textContent = "";
    },
  };
}

import { make } from "./dom.ts";

/** What comes within it is one burst. */
const BURST_MS = 1500;

/** The only live region of the bell: it says what has come, once for a burst, and what an action could not do. */
export function createAnnouncer() {
  const region = make("div", { class: "spoken", role: "status", "aria-live": "polite" });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let count = 0;

  function say(text: string): void {
    // The same text again would not be a change.
    region.textContent = region.textContent === text ? `${text}\u00a0` : text;
  }

  function clear(): void {
    clearTimeout(timer);
    count = 0;
  }

  return {
    region,
    say,
    clear,
    /** `summary` makes the text for more than one. */
    arrived(title: string, summary: (count: number) => string): void {
      if (count++ > 0) return;
      timer = setTimeout(() => {
        say(count === 1 ? title : summary(count));
        count = 0;
      }, BURST_MS);
    },
  };
}

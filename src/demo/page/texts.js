import { ENGLISH } from "./english.js";
import { RUSSIAN } from "./russian.js";

const TEXTS = { en: ENGLISH, ru: RUSSIAN };

const STORED = "bellwire.language";

/** The texts of the page, in the stored language, else in the browser's. */
export function createTexts() {
  let language = readStored() ?? (/^(ru|be|kk)\b/i.test(navigator.language) ? "ru" : "en");
  let plurals = new Intl.PluralRules(language);

  /** `key` may be a path, "kind.message". A text with plural forms takes `values.count`. */
  function text(key, values = {}) {
    let found = TEXTS[language];
    for (const part of key.split(".")) found = found?.[part];
    if (found && typeof found === "object") found = found[plurals.select(values.count)];
    return (found ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }

  return {
    text,
    language: () => language,
    use(next) {
      language = next;
      plurals = new Intl.PluralRules(language);
      try {
        localStorage.setItem(STORED, language);
      } catch {
        // If storage is not allowed, the choice lasts as long as the page.
      }
    },
    /** Fills the elements whose markup names a text. */
    fill(root) {
      document.documentElement.lang = language;
      for (const node of root.querySelectorAll("[data-text]"))
        node.textContent = text(node.dataset.text);
      for (const node of root.querySelectorAll("[data-text-label]"))
        node.setAttribute("aria-label", text(node.dataset.textLabel));
    },
    amount: (number) => new Intl.NumberFormat(language).format(number),
  };
}

function readStored() {
  try {
    const stored = localStorage.getItem(STORED);
    return stored in TEXTS ? stored : undefined;
  } catch {
    return undefined;
  }
}

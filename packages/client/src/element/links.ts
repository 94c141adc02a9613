/** A scheme of its own, as in `https:` or `javascript:`. A browser ignores tabs and line ends in it, and so does `new URL`. */
const HAS_HTTP = /^https?:\/\//i;

/**
 * Where a notification's link leads: an http or https URL, or a path on the page's own origin. Anything else is undefined and must not be a link:
 * `javascript:` would run in the page, and `//other.example` only looks like a path.
 */
export function hrefOf(link: unknown, base = document.baseURI): string | undefined {
  if (typeof link !== "string" || link.trim() === "") return;
  let url: URL;
  try {
    url = new URL(link, base);
  } catch {
    return;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return;
  if (url.origin !== new URL(location.href).origin && !HAS_HTTP.test(link.trim())) return;
  return url.href;
}

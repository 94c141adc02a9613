/** The part of a document that decides what its relative links mean. */
export interface Page {
  baseURI: string;
  location: { origin: string };
}

/**
 * Where a notification's link leads: an http or https URL, or a path on the page's own origin. Anything else is undefined and must not be a link:
 * `javascript:` would run in the page, and `//other.example` only looks like a path.
 */
export function hrefOf(
  link: string | null,
  { baseURI, location }: Page = document,
): string | undefined {
  if (!link?.trim()) return;
  let url: URL;
  try {
    url = new URL(link, baseURI);
  } catch {
    return;
  }
  const { href, origin } = url;
  const isHttp = /^https?:/.test(href);
  return isHttp && (origin === location.origin || /^\s*https?:/i.test(link)) ? href : undefined;
}

import type { Notification } from "../bell.ts";
import type { Content } from "./content.ts";
import { make } from "./dom.ts";

/** Title and body of a notification, the same in the list and in a toast. The title is a link, or else a button. */
export function createCard(
  notification: Notification,
  { title, body, href }: Content,
  onOpen: (notification: Notification, href: string | undefined, event: MouseEvent) => void,
) {
  // `dir` also isolates: a text from right to left, or one with controls that turn it, does not reach what is beside it.
  const text = make("span", { part: "title", class: "title", dir: "auto" }, title);
  const open = href
    ? make("a", { class: "open", href }, text)
    : make("button", { class: "open", type: "button" }, text);
  open.addEventListener("click", (event) => onOpen(notification, href, event as MouseEvent));
  const parts: HTMLElement[] = [open];
  if (body) parts.push(make("p", { part: "body", class: "body", dir: "auto" }, body));
  return { open, parts };
}

export type OnOpen = Parameters<typeof createCard>[2];

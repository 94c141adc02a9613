import type { Notification } from "../bell.ts";
import type { Content } from "./content.ts";
import { make } from "./dom.ts";

export type OnOpen = (
  notification: Notification,
  href: string | undefined,
  event: MouseEvent,
) => void;

/** Title and body of a notification, the same in the list and in a toast. The title is a link, or else a button. */
export function createCard(
  notification: Notification,
  { title, body, href }: Content,
  onOpen: OnOpen,
) {
  // `dir` also isolates: a text from right to left, or one with controls that turn it, does not reach what is beside it.
  const text = make("span", { part: "title", class: "title", dir: "auto" }, title);
  const open = href
    ? make("a", { class: "open", href }, text)
    : make("button", { class: "open", type: "button" }, text);
  open.onclick = (event: MouseEvent) => onOpen(notification, href, event);
  const parts: HTMLElement[] = [open];
  if (body) parts.push(make("p", { part: "body", class: "body", dir: "auto" }, body));
  return { open, parts };
}

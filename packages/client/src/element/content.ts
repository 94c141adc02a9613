import type { Notification } from "../bell.ts";
import { hrefOf } from "./links.ts";
import type { Wording } from "./texts.ts";

/** What a template makes of a notification. What it leaves out is taken from the notification; `null` is nothing. */
export interface TemplateResult {
  title?: string | null;
  body?: string | null;
}

/** Makes a notification's text in the page, for example from its `data`, in the user's language. */
export type Template = (notification: Notification, language: string) => TemplateResult;

/** By the notification's type. */
export type Templates = Record<string, Template>;

export interface Content {
  title: string;
  body: string;
  href: string | undefined;
}

/** Longer texts are cut, because a browser lays out all of a text, also what is not seen of it. */
const [TITLE_CHARACTERS, BODY_CHARACTERS] = [200, 600];

/** What is shown of a notification. */
export function contentOf(
  notification: Notification,
  templates: Templates,
  { language, texts }: Wording,
): Content {
  const made = fromTemplate(notification, templates, language);
  const { title = notification.title, body = notification.body } = made;
  return {
    title: cut(title, TITLE_CHARACTERS) || texts.untitled,
    body: cut(body, BODY_CHARACTERS),
    href: hrefOf(notification.link),
  };
}

function fromTemplate(
  notification: Notification,
  templates: Templates,
  language: string,
): TemplateResult {
  const { type } = notification;
  // A type may be called `constructor`.
  if (!Object.hasOwn(templates, type)) return {};
  try {
    return templates[type]?.(notification, language) ?? {};
  } catch (cause) {
    // The data may be of an older version of the rule, or cut.
    console.error(`<notification-bell>: the template for ${JSON.stringify(type)} failed.`, cause);
    return {};
  }
}

function cut(text: unknown, characters: number): string {
  const whole = String(text ?? "").trim();
  if (whole.length <= characters) return whole;
  // Not in the middle of a surrogate pair.
  return `${whole.slice(0, characters).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

import type { Status } from "../bell.ts";
import { createClock } from "./time.ts";

/** By the categories of `Intl.PluralRules`; `{count}` stands for the number. */
export type Plural = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** The words of the bell itself. Those of a notification come from the database, or from the page's templates. */
export interface Texts {
  /** The name of the bell and of its list. */
  notifications: string;
  unreadCount: Plural;
  /** What a screen reader says when several have come. */
  newCount: Plural;
  /** The title of a notification that has none. */
  untitled: string;
  unread: string;
  markRead: string;
  markUnread: string;
  markAllRead: string;
  archive: string;
  /** The name of the button that turns off, or on again, what is of a notification's type. */
  mute: string;
  muted: string;
  showMore: string;
  close: string;
  empty: string;
  retry: string;
  notSaved: string;
  status: Record<Status, string>;
}

/** Some of the texts, in the language of the page. */
export type OwnTexts = Partial<Omit<Texts, "status">> & { status?: Partial<Texts["status"]> };

const ENGLISH: Texts = {
  notifications: "Notifications",
  unreadCount: { other: "{count} unread" },
  newCount: { other: "{count} new notifications" },
  untitled: "Notification",
  unread: "Unread",
  markRead: "Mark as read",
  markUnread: "Mark as unread",
  markAllRead: "Mark all as read",
  archive: "Archive",
  mute: "No more like this",
  muted: "Muted",
  showMore: "Show more",
  close: "Close",
  empty: "No notifications yet",
  retry: "Try again",
  notSaved: "Not saved. Try again.",
  status: {
    connecting: "Connecting…",
    live: "Connected",
    polling: "Connected, with delays",
    offline: "Offline",
    signed_out: "Signed out",
    refused: "No access",
  },
};

const RUSSIAN: Texts = {
  notifications: "Уведомления",
  unreadCount: { one: "{count} непрочитанное", other: "{count} непрочитанных" },
  newCount: {
    one: "{count} новое уведомление",
    few: "{count} новых уведомления",
    other: "{count} новых уведомлений",
  },
  untitled: "Уведомление",
  unread: "Не прочитано",
  markRead: "Отметить прочитанным",
  markUnread: "Отметить непрочитанным",
  markAllRead: "Прочитать все",
  archive: "В архив",
  mute: "Не присылать такие",
  muted: "Отключены",
  showMore: "Показать ещё",
  close: "Закрыть",
  empty: "Уведомлений пока нет",
  retry: "Повторить",
  notSaved: "Не сохранено. Повторите.",
  status: {
    connecting: "Подключение…",
    live: "На связи",
    polling: "На связи, с задержкой",
    offline: "Нет связи",
    signed_out: "Вы не вошли",
    refused: "Нет доступа",
  },
};

export type Wording = ReturnType<typeof createWording>;

/** The texts for a language: the page's own ones, and else Russian or English. */
export function createWording(language: string, own: OwnTexts = {}) {
  const base = /^ru\b/i.test(language) ? RUSSIAN : ENGLISH;
  const plurals = new Intl.PluralRules(language);
  return {
    language,
    ...createClock(language),
    texts: { ...base, ...own, status: { ...base.status, ...own.status } } as Texts,
    /** With the form of the word that the number asks for. */
    count: (forms: Plural, count: number): string =>
      (forms[plurals.select(count)] ?? forms.other).replace(
        "{count}",
        count.toLocaleString(language),
      ),
  };
}

/** A language that the browser can format for: the first of these that is one. */
export function usableLanguage(...languages: (string | null | undefined)[]): string {
  for (const language of languages) {
    try {
      if (language) return Intl.getCanonicalLocales(language)[0] as string;
    } catch {
      // Not a language tag, as `lang="english, please"`.
    }
  }
  return "en";
}

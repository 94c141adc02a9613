import type { Status } from "../bell.ts";

/** By the categories of `Intl.PluralRules`; `{count}` stands for the number. */
export type Plural = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** The words of the bell itself. Those of a notification come from its templates. */
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
  mute: string;
  unmute: string;
  muted: string;
  showMore: string;
  close: string;
  loading: string;
  empty: string;
  failed: string;
  retry: string;
  notSaved: string;
  status: Record<Status, string>;
}

/** Some of the texts, in the language of the page. */
export type OwnTexts = Partial<Omit<Texts, "status">> & { status?: Partial<Texts["status"]> };

const ENGLISH: Texts = {
  notifications: "Notifications",
  unreadCount: { one: "{count} unread", other: "{count} unread" },
  newCount: { one: "{count} new notification", other: "{count} new notifications" },
  untitled: "Notification",
  unread: "Unread",
  markRead: "Mark as read",
  markUnread: "Mark as unread",
  markAllRead: "Mark all as read",
  archive: "Archive",
  mute: "No more like this",
  unmute: "Allow more like this",
  muted: "Muted",
  showMore: "Show more",
  close: "Close",
  loading: "Loading…",
  empty: "No notifications yet",
  failed: "Could not be loaded",
  retry: "Try again",
  notSaved: "This was not saved. Try again.",
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
  unreadCount: {
    one: "{count} непрочитанное",
    few: "{count} непрочитанных",
    many: "{count} непрочитанных",
    other: "{count} непрочитанного",
  },
  newCount: {
    one: "{count} новое уведомление",
    few: "{count} новых уведомления",
    many: "{count} новых уведомлений",
    other: "{count} нового уведомления",
  },
  untitled: "Уведомление",
  unread: "Не прочитано",
  markRead: "Отметить прочитанным",
  markUnread: "Отметить непрочитанным",
  markAllRead: "Прочитать все",
  archive: "В архив",
  mute: "Больше не присылать такие",
  unmute: "Снова присылать такие",
  muted: "Отключены",
  showMore: "Показать ещё",
  close: "Закрыть",
  loading: "Загрузка…",
  empty: "Уведомлений пока нет",
  failed: "Не удалось загрузить",
  retry: "Повторить",
  notSaved: "Не сохранилось. Попробуйте ещё раз.",
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
  const texts: Texts = { ...base, ...own, status: { ...base.status, ...own.status } };
  const plurals = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);
  return {
    language,
    texts,
    /** With the form of the word that the number asks for. */
    count(forms: Plural, count: number): string {
      const form = forms[plurals.select(count)] ?? forms.other;
      return form.replace("{count}", numbers.format(count));
    },
  };
}

/** A language that the browser can format for: the first of these that is one. */
export function usableLanguage(...languages: (string | null | undefined)[]): string {
  for (const language of languages) {
    if (!language) continue;
    try {
      return Intl.getCanonicalLocales(language)[0] as string;
    } catch {
      // Not a language tag, as `lang="english, please"`.
    }
  }
  return "en";
}

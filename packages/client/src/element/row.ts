import type { Bell, Notification } from "../bell.ts";
import { createCard, type OnOpen } from "./card.ts";
import type { Content } from "./content.ts";
import { icon, make, makeButton, setName, setText } from "./dom.ts";
import { BOX, CHECK, CIRCLE, SLASHED_BELL } from "./icons.ts";
import type { Wording } from "./texts.ts";

export interface Actions {
  /** The user follows a notification, and may leave the page by it. */
  follow: OnOpen;
  /** Does it, and says if it was not saved. */
  attempt: (act: (bell: Bell) => Promise<unknown>) => void;
}

export type Row = ReturnType<typeof createRow>;

/** One notification of the list. Its content stays; what the user does with it changes. */
export function createRow(
  first: Notification,
  content: Content,
  { texts, ago, absolute }: Wording,
  { follow, attempt }: Actions,
) {
  const { id, type, createdAt } = first;
  let isRead = false;
  let isMuted = false;
  const { open, parts } = createCard(first, content, follow);
  const time = make("time", {
    part: "time",
    datetime: createdAt,
    title: absolute(createdAt),
  });
  const unread = make("span", { class: "spoken" });
  const muted = make("span");
  const check = icon(CHECK);
  const circle = icon(CIRCLE);
  const read = makeButton("icon", () =>
    attempt((bell) => (isRead ? bell.markAsUnread(id) : bell.markAsRead(id))),
  );
  const archive = makeButton("icon", () => attempt((bell) => bell.archive(id)), icon(BOX));
  const mute = makeButton(
    "icon",
    () => attempt((bell) => bell.setMuted(type, !isMuted)),
    icon(SLASHED_BELL),
  );
  setName(archive, texts.archive);
  setName(mute, texts.mute);
  const buttons = make("div", { class: "actions" }, read, archive, mute);
  const meta = make("div", { class: "meta" }, time, muted, buttons);
  const article = make("article", { part: "item" }, unread, ...parts, meta);

  return {
    node: make("li", {}, article),
    open,
    content,
    update(notification: Notification, mutedTypes: readonly string[]): void {
      isRead = notification.readAt !== null;
      isMuted = mutedTypes.includes(type);
      article.className = isRead ? "item" : "item unread";
      setText(unread, isRead ? "" : texts.unread);
      setText(time, ago(createdAt));
      setText(muted, isMuted ? texts.muted : "");
      setName(read, isRead ? texts.markUnread : texts.markRead);
      read.replaceChildren(isRead ? circle : check);
      mute.ariaPressed = String(isMuted);
    },
  };
}

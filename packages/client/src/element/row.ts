import type { Notification } from "../bell.ts";
import { createCard, type OnOpen } from "./card.ts";
import type { Content } from "./content.ts";
import { icon, make, setName, setText } from "./dom.ts";
import { ARCHIVE, CHECK, MUTE, UNREAD } from "./icons.ts";
import type { Wording } from "./texts.ts";
import type { Clock } from "./time.ts";

export interface RowActions {
  onOpen: OnOpen;
  setRead: (id: string, isRead: boolean) => void;
  archive: (id: string) => void;
  setMuted: (type: string, isMuted: boolean) => void;
}

export type Row = ReturnType<typeof createRow>;

/** One notification of the list. Its content stays; what the user does with it changes. */
export function createRow(
  first: Notification,
  content: Content,
  { texts }: Wording,
  clock: Clock,
  actions: RowActions,
) {
  const { id, type } = first;
  let isRead = false;
  let isMuted = false;
  const card = createCard(first, content, actions.onOpen);
  const time = make("time", {
    part: "time",
    datetime: first.createdAt,
    title: clock.absolute(first.createdAt),
  });
  const unread = make("span", { class: "spoken" });
  const muted = make("span", { class: "muted" });

  function action(path: string, run: () => void): HTMLButtonElement {
    const button = make("button", { class: "icon", type: "button" }, icon(path));
    button.addEventListener("click", run);
    return button;
  }
  const read = action(CHECK, () => actions.setRead(id, !isRead));
  const archive = action(ARCHIVE, () => actions.archive(id));
  setName(archive, texts.archive);
  const mute = action(MUTE, () => actions.setMuted(type, !isMuted));

  const buttons = make("div", { class: "actions" }, read, archive, mute);
  const meta = make("div", { class: "meta" }, time, muted, unread, buttons);
  const article = make("article", { part: "item", class: "item" }, ...card.parts, meta);

  return {
    node: make("li", {}, article),
    open: card.open,
    content,
    update(notification: Notification, mutedTypes: readonly string[]): void {
      isRead = notification.readAt !== null;
      isMuted = mutedTypes.includes(type);
      article.classList.toggle("unread", !isRead);
      setText(unread, isRead ? "" : texts.unread);
      setText(time, clock.ago(notification.createdAt));
      setName(read, isRead ? texts.markUnread : texts.markRead);
      read.querySelector("path")?.setAttribute("d", isRead ? UNREAD : CHECK);
      setName(mute, isMuted ? texts.unmute : texts.mute);
      mute.classList.toggle("on", isMuted);
      setText(muted, isMuted ? `· ${texts.muted}` : "");
    },
  };
}

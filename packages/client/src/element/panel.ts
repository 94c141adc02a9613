import type { BellSnapshot } from "../bell.ts";
import type { Templates } from "./content.ts";
import { icon, make, makeButton, setName, setText } from "./dom.ts";
import { CROSS } from "./icons.ts";
import { createList } from "./list.ts";
import type { Actions } from "./row.ts";
import type { Wording } from "./texts.ts";

export interface PanelActions extends Actions {
  /** Connects again. */
  retry: () => void;
  close: () => void;
}

/** The dialog with the list. The bell opens, places and closes it. */
export function createPanel(actions: PanelActions) {
  const { attempt } = actions;
  const heading = make("h2", { id: "heading" });
  const dot = make("span", { part: "dot", class: "dot" });
  const status = make("span");
  const names = make("div", {}, heading, make("p", { class: "status" }, dot, status));
  const markAll = makeButton("text", () => attempt((bell) => bell.markAllAsRead()));
  const close = makeButton("icon", actions.close, icon(CROSS));
  const notSaved = make("p", { class: "not-saved" });
  const message = make("p", { class: "message" });
  const retry = makeButton("text wide", actions.retry);
  const list = createList(actions, focus);
  const more = makeButton("text wide", () => attempt((bell) => bell.loadMore()));
  const node = make(
    "div",
    {
      part: "panel",
      class: "panel",
      role: "dialog",
      "aria-labelledby": "heading",
      tabindex: "-1",
      popover: "manual",
    },
    // A <header> here would be a second banner of the page.
    make("div", { class: "head" }, names, markAll, close),
    notSaved,
    make("div", { class: "scroll" }, message, retry, list.node, more),
  );
  node.hidden = true;

  function focus(): void {
    node.focus({ preventScroll: true });
  }

  /** The keyboard stays in the panel when the button that it was on goes. */
  function toggle(button: HTMLElement, isShown: boolean, text: string): void {
    if (!isShown && button.matches(":focus")) focus();
    button.hidden = !isShown;
    setText(button, text);
  }

  return {
    node,
    focus,
    /** The last action was not saved; empty: it was. */
    warn: (text: string) => setText(notSaved, text),
    render(
      { status: now, notifications, unread, hasMore, preferences }: BellSnapshot,
      wording: Wording,
      templates: Templates,
    ): void {
      const { texts } = wording;
      const isReached = now === "live" || now === "polling";
      // Without a connection an empty list may be one that has not come. Who is signed out does not see the list any more.
      const hasList =
        isReached || (notifications.length > 0 && now !== "signed_out" && now !== "refused");
      setText(heading, texts.notifications);
      dot.dataset.status = now;
      setText(status, texts.status[now]);
      setText(markAll, texts.markAllRead);
      markAll.ariaDisabled = String(!hasList || unread === 0);
      setName(close, texts.close);
      message.hidden = hasList && notifications.length > 0;
      setText(message, hasList ? texts.empty : texts.status[now]);
      toggle(retry, !hasList && now !== "connecting", texts.retry);
      const { mutedTypes } = preferences ?? { mutedTypes: [] };
      list.render(hasList ? notifications : [], mutedTypes, wording, templates);
      toggle(more, hasList && hasMore, texts.showMore);
    },
  };
}

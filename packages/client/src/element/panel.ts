import type { BellSnapshot } from "../bell.ts";
import type { Templates } from "./content.ts";
import { icon, make, setName, setText } from "./dom.ts";
import { CROSS } from "./icons.ts";
import { createList } from "./list.ts";
import type { RowActions } from "./row.ts";
import type { Texts, Wording } from "./texts.ts";

export interface PanelActions extends RowActions {
  markAllRead: () => void;
  showMore: () => void;
  retry: () => void;
  close: () => void;
}

/** What the panel says when it has no list to show. */
interface Message {
  text: string;
  canRetry?: true;
}

/** The dialog with the list. The bell opens, places and closes it. */
export function createPanel(actions: PanelActions) {
  const heading = make("h2", { id: "heading" });
  const dot = make("span", { part: "dot", class: "dot" });
  const status = make("span", {});
  const markAll = button("text", actions.markAllRead);
  const close = button("icon", actions.close, icon(CROSS));
  const header = make(
    "header",
    {},
    make("div", { class: "names" }, heading, make("p", { class: "status" }, dot, status)),
    markAll,
    close,
  );
  const messageText = make("p");
  const retry = button("text", actions.retry);
  const message = make("div", { class: "message" }, messageText, retry);
  const list = createList(actions, () => node.focus());
  const more = button("text more", actions.showMore);
  const notSaved = make("p", { class: "not-saved" });
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
    header,
    notSaved,
    make("div", { class: "scroll" }, message, list.node, more),
  );
  node.hidden = true;
  notSaved.hidden = true;

  /** The keyboard stays in the panel when the button that it was on goes. */
  function toggle(button: HTMLElement, isShown: boolean): void {
    if (!isShown && button.matches(":focus")) node.focus({ preventScroll: true });
    button.hidden = !isShown;
  }

  return {
    node,
    /** Undefined until something was tried: the last action was not saved. */
    warn(text: string | undefined): void {
      notSaved.hidden = text === undefined;
      setText(notSaved, text ?? "");
    },
    render(
      snapshot: BellSnapshot,
      isLoaded: boolean,
      wording: Wording,
      templates: Templates,
    ): void {
      const { texts } = wording;
      setText(heading, texts.notifications);
      dot.dataset.status = snapshot.status;
      setText(status, texts.status[snapshot.status]);
      setText(markAll, texts.markAllRead);
      markAll.setAttribute("aria-disabled", String(snapshot.unread === 0));
      setName(close, texts.close);
      setText(more, texts.showMore);
      setText(retry, texts.retry);

      const shown = messageOf(snapshot, isLoaded, texts);
      message.hidden = shown === undefined;
      setText(messageText, shown?.text ?? "");
      toggle(retry, shown?.canRetry === true);
      list.render(
        { ...snapshot, notifications: shown ? [] : snapshot.notifications },
        wording,
        templates,
      );
      toggle(more, shown === undefined && snapshot.hasMore);
    },
  };
}

function button(className: string, run: () => void, ...children: Node[]): HTMLButtonElement {
  const made = make("button", { class: className, type: "button" }, ...children);
  made.addEventListener("click", () => {
    if (made.getAttribute("aria-disabled") !== "true") run();
  });
  return made;
}

/** Undefined if the list is shown. Who is signed out does not see it any more. */
function messageOf(
  { status, notifications }: BellSnapshot,
  isLoaded: boolean,
  texts: Texts,
): Message | undefined {
  if (status === "signed_out" || status === "refused")
    return { text: texts.status[status], canRetry: true };
  if (notifications.length > 0) return;
  if (isLoaded) return { text: texts.empty };
  return status === "offline" ? { text: texts.failed, canRetry: true } : { text: texts.loading };
}

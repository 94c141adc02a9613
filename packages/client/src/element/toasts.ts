import type { Notification } from "../bell.ts";
import { createCard, type OnOpen } from "./card.ts";
import type { Content } from "./content.ts";
import { hide, icon, make, makeButton, setName, show } from "./dom.ts";
import { CROSS } from "./icons.ts";

const SHOWN = 3;
const SHOWN_MS = 7000;
/** After the pointer or the keyboard has left them, they stay for this time at most. */
const AFTERWARDS_MS = 3000;

interface Toast {
  id: string;
  node: HTMLElement;
}

/**
 * Shows what has just come, the newest three at most. While the pointer or the keyboard is on them, none comes and none goes. `onFocusLost` is called when
 * the last one goes that had the keyboard.
 */
export function createToasts(onOpen: OnOpen, onFocusLost: () => void) {
  const node = make("section", { class: "toasts", popover: "manual" });
  node.hidden = true;
  let toasts: Toast[] = [];

  const isHeld = () => node.matches(":hover, :focus-within");

  function expire(toast: Toast): void {
    if (isHeld()) setTimeout(expire, AFTERWARDS_MS, toast);
    else remove(toast);
  }

  function remove(toast: Toast): void {
    toasts = toasts.filter((each) => each !== toast);
    // Before it goes, because what had the focus would leave it to nobody.
    if (toast.node.matches(":focus-within")) {
      const next = toasts[0]?.node.querySelector<HTMLElement>(".open");
      if (next) next.focus();
      else onFocusLost();
    }
    toast.node.remove();
    if (toasts.length === 0) hide(node);
  }

  return {
    node,
    add(notification: Notification, content: Content, closeName: string): void {
      if (isHeld()) return;
      const { parts } = createCard(notification, content, (...opened) => {
        onOpen(...opened);
        remove(toast);
      });
      const close = makeButton("icon", () => remove(toast), icon(CROSS));
      setName(close, closeName);
      const toast: Toast = {
        id: notification.id,
        node: make("article", { part: "toast", class: "toast item" }, ...parts, close),
      };
      toast.node.onkeydown = (event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        remove(toast);
      };
      toasts.push(toast);
      node.append(toast.node);
      show(node);
      setTimeout(expire, SHOWN_MS, toast);
      if (toasts.length > SHOWN) remove(toasts[0] as Toast);
    },
    /** Those that are not wanted any more go. */
    keep(isWanted: (id: string) => boolean): void {
      for (const toast of toasts) if (!isWanted(toast.id)) remove(toast);
    },
  };
}

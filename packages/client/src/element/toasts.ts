import type { Notification } from "../bell.ts";
import { createCard, type OnOpen } from "./card.ts";
import type { Content } from "./content.ts";
import { hide, icon, make, setName, show } from "./dom.ts";
import { CROSS } from "./icons.ts";

const SHOWN = 3;
const SHOWN_MS = 7000;
/** What comes within it is one burst: only its newest are shown. */
const BURST_MS = 100;

interface Toast {
  id: string;
  node: HTMLElement;
  timer?: ReturnType<typeof setTimeout>;
}

export interface ToastOptions {
  contentOf: (notification: Notification) => Content;
  onOpen: OnOpen;
  /** The name of the button that closes a toast. */
  closeName: () => string;
  /** The keyboard was in a toast that is gone, and it was the last one. */
  onFocusLost: () => void;
}

/** Shows what has just come, at most three at a time. While the pointer or the keyboard is on them, none comes or goes. */
export function createToasts({ contentOf, onOpen, closeName, onFocusLost }: ToastOptions) {
  const node = make("section", { class: "toasts", popover: "manual" });
  node.hidden = true;
  const toasts: Toast[] = [];
  let waiting: Notification[] = [];
  let isHeld = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function hold(held: boolean): void {
    isHeld = held;
    for (const toast of toasts) clearTimeout(toast.timer);
    if (held) return;
    for (const toast of toasts) start(toast);
    showWaiting();
  }

  function start(toast: Toast): void {
    toast.timer = setTimeout(remove, SHOWN_MS, toast);
  }

  function remove(toast: Toast): void {
    const index = toasts.indexOf(toast);
    if (index < 0) return;
    clearTimeout(toast.timer);
    toasts.splice(index, 1);
    // Before it goes, because what had the focus would leave it to nobody.
    if (toast.node.matches(":focus-within")) {
      const next = toasts[index] ?? toasts[index - 1];
      if (next) next.node.querySelector<HTMLElement>(".open")?.focus();
      else onFocusLost();
    }
    toast.node.remove();
    if (toasts.length > 0) return;
    isHeld = false;
    hide(node);
    showWaiting();
  }

  function add(notification: Notification): void {
    const close = make("button", { class: "icon", type: "button" }, icon(CROSS));
    setName(close, closeName());
    const { parts } = createCard(notification, contentOf(notification), (...clicked) => {
      onOpen(...clicked);
      remove(toast);
    });
    const toast: Toast = {
      id: notification.id,
      node: make("article", { part: "toast", class: "toast item" }, ...parts, close),
    };
    close.addEventListener("click", () => remove(toast));
    toasts.push(toast);
    node.append(toast.node);
    start(toast);
  }

  function showWaiting(): void {
    if (isHeld || waiting.length === 0) return;
    const newest = waiting.slice(-SHOWN);
    waiting = [];
    for (const notification of newest) add(notification);
    for (const toast of toasts.slice(0, -SHOWN)) remove(toast);
    show(node);
  }

  node.addEventListener("pointerenter", () => hold(true));
  node.addEventListener("pointerleave", () => hold(node.matches(":focus-within")));
  node.addEventListener("focusin", () => hold(true));
  node.addEventListener("focusout", ({ relatedTarget }) =>
    hold(node.matches(":hover") || node.contains(relatedTarget as Node | null)),
  );
  node.addEventListener("keydown", ({ key, target }) => {
    if (key !== "Escape") return;
    const focused = toasts.find((toast) => toast.node.contains(target as Node));
    if (focused) remove(focused);
  });

  return {
    node,
    add(notification: Notification): void {
      waiting.push(notification);
      clearTimeout(timer);
      timer = setTimeout(showWaiting, BURST_MS);
    },
    /** Those that were seen elsewhere go. */
    keep(isWanted: (id: string) => boolean): void {
      waiting = waiting.filter(({ id }) => isWanted(id));
      if (!isHeld) for (const toast of [...toasts]) if (!isWanted(toast.id)) remove(toast);
    },
    clear(): void {
      clearTimeout(timer);
      waiting = [];
      for (const toast of [...toasts]) remove(toast);
    },
  };
}

import { element, fillAvatar } from "./dom.js";

const SHOWN = 3;
const SHOWN_MS = 7000;

/** Shows new notifications: at most three at a time, and the number of the others. */
export function createToasts({ root, texts, userById, onOpen }) {
  const toasts = new Set();
  let hiddenCount = 0;
  const more = element("p", { class: "toast-more" });
  let isHeld = false;

  function remove(toast) {
    clearTimeout(toast.timer);
    toasts.delete(toast);
    const hadKeyboard = toast.node.querySelector(":focus-visible") !== null;
    toast.node.remove();
    if (toasts.size > 0) {
      // A removed element may fire no event when it loses the focus.
      if (hadKeyboard) root.querySelector(".toast-close").focus();
      return;
    }
    hiddenCount = 0;
    more.remove();
    isHeld = false;
  }

  function start(toast) {
    clearTimeout(toast.timer);
    if (!isHeld) toast.timer = setTimeout(remove, SHOWN_MS, toast);
  }

  // While somebody reads the toasts or tabs through them, they stay (WCAG 2.2.1).
  function hold(held) {
    isHeld = held;
    for (const toast of toasts) {
      if (held) clearTimeout(toast.timer);
      else start(toast);
    }
  }
  root.addEventListener("pointerenter", () => hold(true));
  root.addEventListener("pointerleave", () => hold(false));
  root.addEventListener("focusin", () => hold(true));
  root.addEventListener("focusout", () => hold(false));

  return {
    show(notification) {
      if (toasts.size >= SHOWN) {
        hiddenCount += 1;
        more.textContent = texts.text("more", { count: hiddenCount });
        root.append(more);
        return;
      }
      const { id, actorId, title, body } = notification;
      const close = () => remove(toast);
      const open = () => {
        close();
        onOpen(id);
      };
      const node = element(
        "article",
        { class: "toast", "data-id": id },
        fillAvatar(element("span", { class: "avatar", "aria-hidden": "true" }), userById(actorId)),
        element(
          "div",
          { class: "toast-text" },
          element("button", { type: "button", class: "toast-title", onclick: open }, title),
          body ? element("p", {}, body) : null,
        ),
        element(
          "button",
          {
            type: "button",
            class: "toast-close",
            "aria-label": texts.text("dismiss"),
            onclick: close,
          },
          "×",
        ),
      );
      const toast = { node, timer: undefined };
      toasts.add(toast);
      root.insertBefore(node, more.isConnected ? more : null);
      start(toast);
    },
    clear() {
      for (const toast of [...toasts]) remove(toast);
    },
  };
}

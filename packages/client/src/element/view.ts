import type { Bell, BellSnapshot, Notification } from "../bell.ts";
import { createAnnouncer } from "./announcer.ts";
import { contentOf, type Templates } from "./content.ts";
import { hide, icon, make, makeButton, setText, show } from "./dom.ts";
import { BELL } from "./icons.ts";
import { createPanel } from "./panel.ts";
import { place } from "./place.ts";
import type { Wording } from "./texts.ts";
import { createToasts } from "./toasts.ts";

export interface ViewOptions {
  root: ShadowRoot;
  /** Undefined while the element is not in the page. */
  bell: () => Bell | undefined;
  wording: () => Wording;
  templates: () => Templates;
  retry: () => void;
}

const MOST_IN_BADGE = 99;
const REFRESH_TIMES_MS = 30_000;

/** A failure that the status says already, or that the next opening mends. */
function ignore(): void {}

/** What the element shows: the button, the panel, the toasts and the live region. It renders once a frame at most, and the list only while it is open. */
export function createView({ root, bell, wording, templates, retry }: ViewOptions) {
  const { host } = root;
  const badge = make("span", { part: "badge", class: "badge" });
  const dot = make("span", { part: "dot", class: "dot" });
  const button = makeButton(
    "bell",
    () => (opened ? closePanel(true) : openPanel()),
    icon(BELL),
    badge,
    dot,
  );
  button.part.add("button");
  button.ariaHasPopup = "dialog";
  const announcer = createAnnouncer();
  const panel = createPanel({ follow, attempt, retry, close: () => closePanel(true) });
  const toasts = createToasts(follow, () => button.focus());
  root.append(button, panel.node, toasts.node, announcer.region);

  let snapshot: BellSnapshot | undefined;
  let isScheduled = false;
  /** Ends what is listened to while the panel is open. Undefined while it is closed. */
  let opened: AbortController | undefined;
  let isMarkingSeen = false;

  function render(): void {
    isScheduled = false;
    if (!snapshot) return;
    const { texts, count } = wording();
    const { unread, unseen, status, notifications } = snapshot;
    button.ariaLabel = `${texts.notifications}: ${count(texts.unreadCount, unread)}`;
    button.ariaExpanded = String(opened !== undefined);
    // It is the description of the button, too.
    button.title = texts.status[status];
    dot.dataset.status = status;
    badge.hidden = unread === 0;
    badge.classList.toggle("seen", unseen === 0);
    setText(badge, unread > MOST_IN_BADGE ? `${MOST_IN_BADGE}+` : `${unread}`);
    const unseenIds = new Set(notifications.filter(({ seenAt }) => !seenAt).map(({ id }) => id));
    // Those of another user, and those that were archived or deleted, go as well.
    toasts.keep((id) => unseenIds.has(id));
    if (!opened) return;
    panel.render(snapshot, wording(), templates());
    if (unseen > 0 && !isMarkingSeen) markSeen();
  }

  function schedule(): void {
    if (!isScheduled) requestAnimationFrame(render);
    isScheduled = true;
  }

  /** The list is open, so the user sees all of it. After a failure this waits for the next opening. */
  function markSeen(): void {
    isMarkingSeen = true;
    bell()
      ?.markAllAsSeen()
      .then(() => {
        isMarkingSeen = false;
      }, ignore);
  }

  function attempt(act: (bell: Bell) => Promise<unknown>): void {
    const to = bell();
    panel.warn("");
    if (to)
      act(to).catch(() => {
        const { notSaved } = wording().texts;
        panel.warn(notSaved);
        announcer.say(notSaved);
      });
  }

  /** False if a listener has prevented what follows. */
  const emit = (name: string, detail?: object, cancelable = false) =>
    host.dispatchEvent(
      new CustomEvent(name, { bubbles: true, composed: true, cancelable, detail }),
    );

  function follow(notification: Notification, href: string | undefined, event: MouseEvent): void {
    if (notification.readAt === null) attempt((to) => to.markAsRead(notification.id));
    // The browser opens another tab or window, and this page stays as it is.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const isAllowed = emit("bell-click", { notification, href }, true);
    if (!isAllowed) event.preventDefault();
    if (href || !isAllowed) closePanel(true);
  }

  function openPanel(): void {
    opened = new AbortController();
    const { signal } = opened;
    toasts.keep(() => false);
    isMarkingSeen = false;
    panel.warn("");
    // Without them nothing is shown as muted.
    if (!snapshot?.preferences) bell()?.loadPreferences().catch(ignore);
    render();
    show(panel.node);
    const putInPlace = () => place(panel.node, button, host.getAttribute("placement") ?? "");
    putInPlace();
    panel.focus();

    addEventListener("resize", putInPlace, { signal });
    addEventListener("scroll", putInPlace, { signal, capture: true, passive: true });
    addEventListener(
      "pointerdown",
      (event) => event.composedPath().includes(host) || closePanel(false),
      { signal },
    );
    addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        // A dialog of the page around the bell stays open.
        event.preventDefault();
        closePanel(true);
      },
      { signal },
    );
    const timer = setInterval(schedule, REFRESH_TIMES_MS);
    signal.onabort = () => clearInterval(timer);
    emit("bell-open");
  }

  function closePanel(returnFocus: boolean): void {
    if (!opened) return;
    opened.abort();
    opened = undefined;
    if (returnFocus || panel.node.matches(":focus-within")) button.focus({ preventScroll: true });
    hide(panel.node);
    schedule();
  }

  // The keyboard has left the panel: what it goes to must not be covered.
  panel.node.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !root.contains(relatedTarget as Node)) closePanel(false);
  });

  return {
    show(next: BellSnapshot): void {
      snapshot = next;
      schedule();
    },
    /** Texts, templates or attributes are others now. */
    refresh: schedule,
    arrived(notification: Notification): void {
      emit("bell-notification", { notification });
      // Nobody sees it. The badge has it when the page is shown again.
      if (document.hidden) return;
      const { texts, count } = wording();
      const content = contentOf(notification, templates(), wording());
      announcer.arrived(content.title, (n) => count(texts.newCount, n));
      if (!opened && host.getAttribute("toasts") !== "off")
        toasts.add(notification, content, texts.close);
    },
    close(): void {
      closePanel(false);
      toasts.keep(() => false);
      announcer.clear();
    },
  };
}

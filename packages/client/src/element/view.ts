import type { Bell, BellSnapshot, Notification } from "../bell.ts";
import { createAnnouncer } from "./announcer.ts";
import { contentOf, type Templates } from "./content.ts";
import { hide, icon, make, setText, show } from "./dom.ts";
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
  placement: () => string;
  showsToasts: () => boolean;
  /** Dispatches an event of the element. False if a listener has prevented what follows. */
  emit: (name: string, detail?: object) => boolean;
  retry: () => void;
}

const MOST_IN_BADGE = 99;
const REFRESH_TIMES_MS = 30_000;

/** What the element shows: the button, the panel, the toasts and the live region. It renders once a frame at most, and the list only while it is open. */
export function createView(options: ViewOptions) {
  const { root, bell, wording, templates, emit } = options;
  const badge = make("span", { part: "badge", class: "badge", "aria-hidden": "true" });
  const dot = make("span", { part: "dot", class: "dot" });
  const button = make("button", {
    part: "button",
    class: "bell",
    type: "button",
    "aria-haspopup": "dialog",
  });
  button.append(icon(BELL), badge, dot);
  const announcer = createAnnouncer();
  const panel = createPanel({
    onOpen: follow,
    setRead: (id, isRead) => attempt((to) => (isRead ? to.markAsRead(id) : to.markAsUnread(id))),
    archive: (id) => attempt((to) => to.archive(id)),
    setMuted: (type, isMuted) => attempt((to) => to.setMuted(type, isMuted)),
    markAllRead: () => attempt((to) => to.markAllAsRead()),
    showMore: () => attempt((to) => to.loadMore()),
    retry: options.retry,
    close: () => closePanel(true),
  });
  const toasts = createToasts({
    contentOf: content,
    onOpen: follow,
    closeName: () => wording().texts.close,
    onFocusLost: () => button.focus(),
  });
  root.append(button, panel.node, toasts.node, announcer.region);

  let snapshot: BellSnapshot | undefined;
  let isLoaded = false;
  let isScheduled = false;
  /** Ends what is listened to while the panel is open. Undefined while it is closed. */
  let opened: AbortController | undefined;
  let isMarkingSeen = false;

  function content(notification: Notification) {
    const { language, texts } = wording();
    return contentOf(notification, templates(), language, texts.untitled);
  }

  function render(): void {
    isScheduled = false;
    if (!snapshot) return;
    const { texts, count } = wording();
    const { unread, unseen, status } = snapshot;
    const unreadText = count(texts.unreadCount, unread);
    button.setAttribute("aria-label", `${texts.notifications}: ${unreadText}`);
    button.setAttribute("aria-expanded", String(opened !== undefined));
    // It is the description of the button, too.
    button.title = texts.status[status];
    dot.dataset.status = status;
    badge.hidden = unread === 0 || status === "signed_out";
    badge.classList.toggle("seen", unseen === 0);
    setText(badge, unread > MOST_IN_BADGE ? `${MOST_IN_BADGE}+` : String(unread));
    const seen = new Set(snapshot.notifications.filter((each) => each.seenAt).map(({ id }) => id));
    toasts.keep((id) => !seen.has(id));
    if (!opened) return;
    panel.render(snapshot, isLoaded, wording(), templates());
    if (unseen > 0) markSeen();
  }

  function schedule(): void {
    if (!isScheduled) requestAnimationFrame(render);
    isScheduled = true;
  }

  /** The list is open, so the user sees all of it. Failures wait for the next opening. */
  function markSeen(): void {
    if (isMarkingSeen) return;
    isMarkingSeen = true;
    bell()
      ?.markAllAsSeen()
      .then(() => {
        isMarkingSeen = false;
      })
      .catch(() => {});
  }

  function attempt(act: (to: Bell) => Promise<void>): void {
    const to = bell();
    if (!to) return;
    panel.warn(undefined);
    act(to).catch(() => {
      panel.warn(wording().texts.notSaved);
      announcer.say(wording().texts.notSaved);
    });
  }

  function follow(notification: Notification, href: string | undefined, event: MouseEvent): void {
    if (notification.readAt === null) attempt((to) => to.markAsRead(notification.id));
    // The browser opens another tab or window, and this page stays as it is.
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const isAllowed = emit("bell-click", { notification, href });
    if (!isAllowed) event.preventDefault();
    if (href || !isAllowed) closePanel(true);
  }

  function openPanel(): void {
    opened = new AbortController();
    const { signal } = opened;
    toasts.clear();
    isMarkingSeen = false;
    panel.warn(undefined);
    // Without them nothing is shown as muted.
    if (!snapshot?.preferences)
      bell()
        ?.loadPreferences()
        .catch(() => {});
    render();
    show(panel.node);
    place(panel.node, button, options.placement());
    panel.node.focus({ preventScroll: true });

    const replace = () => place(panel.node, button, options.placement());
    addEventListener("resize", replace, { signal });
    addEventListener("scroll", replace, { signal, capture: true, passive: true });
    document.addEventListener(
      "pointerdown",
      (event) => event.composedPath().includes(root.host) || closePanel(false),
      { signal },
    );
    document.addEventListener(
      "keydown",
      (event) => event.key === "Escape" && !event.defaultPrevented && closePanel(true),
      { signal },
    );
    const timer = setInterval(schedule, REFRESH_TIMES_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
    emit("bell-open");
  }

  function closePanel(returnFocus: boolean): void {
    if (!opened) return;
    opened.abort();
    opened = undefined;
    button.setAttribute("aria-expanded", "false");
    if (returnFocus || panel.node.matches(":focus-within")) button.focus({ preventScroll: true });
    hide(panel.node);
  }

  button.addEventListener("click", () => (opened ? closePanel(true) : openPanel()));
  // The keyboard has left the panel: what it goes to must not be covered.
  panel.node.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !root.contains(relatedTarget as Node)) closePanel(false);
  });

  return {
    show(next: BellSnapshot, loaded: boolean): void {
      snapshot = next;
      isLoaded = loaded;
      // Those of a user who has signed out, or of another one.
      if (!loaded) toasts.clear();
      schedule();
    },
    /** Texts, templates or attributes are others now. */
    refresh: schedule,
    arrived(notification: Notification): void {
      emit("bell-notification", { notification });
      // Nobody sees it. The badge has it when the page is shown again.
      if (document.hidden) return;
      const { texts, count } = wording();
      announcer.arrived(content(notification).title, (n) => count(texts.newCount, n));
      if (!opened && options.showsToasts()) toasts.add(notification);
    },
    close(): void {
      closePanel(false);
      toasts.clear();
      announcer.clear();
    },
  };
}

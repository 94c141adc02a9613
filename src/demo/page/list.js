import { element, fillAvatar } from "./dom.js";

/** The list of notifications, newest first, each at most once. */
export function createList({ root, empty, texts, userById, onRead }) {
  const rows = new Map();

  function render(notification) {
    const { id, actorId, title, body, link, createdAt, readAt } = notification;
    const isUnread = !readAt;
    const row = element(
      "li",
      { class: "notification", "data-id": id, "data-unread": isUnread },
      fillAvatar(element("span", { class: "avatar", "aria-hidden": "true" }), userById(actorId)),
      element(
        "div",
        { class: "notification-text" },
        isUnread
          ? element(
              "button",
              {
                type: "button",
                class: "notification-title",
                title: texts.text("readIt"),
                onclick: () => onRead(id),
              },
              element("span", { class: "hidden" }, `${texts.text("unread")}: `),
              title,
            )
          : element("p", { class: "notification-title", tabindex: "-1" }, title),
        body ? element("p", { class: "notification-body" }, body) : null,
        element(
          "p",
          { class: "notification-meta" },
          element(
            "time",
            { datetime: createdAt, title: texts.when(createdAt) },
            texts.ago(createdAt),
          ),
          // A real application would open this page. The demo has no such pages, so it is not an anchor.
          isLocalLink(link) ? element("span", { class: "link" }, link) : null,
        ),
      ),
    );
    rows.get(id)?.row.replaceWith(row);
    rows.set(id, { notification, row });
    return row;
  }

  function place(notification) {
    const row = render(notification);
    if (!row.isConnected) {
      const next = [...root.children].find(
        ({ dataset }) => BigInt(dataset.id) < BigInt(notification.id),
      );
      root.insertBefore(row, next ?? null);
    }
    empty.hidden = true;
    return row;
  }

  function remove(id) {
    rows.get(id)?.row.remove();
    rows.delete(id);
    empty.hidden = rows.size > 0;
  }

  function change({ id, readAt, archivedAt }) {
    const entry = rows.get(id);
    if (!entry) return;
    const hadFocus = entry.row.contains(document.activeElement);
    if (archivedAt) remove(id);
    else if (Boolean(readAt) !== Boolean(entry.notification.readAt)) {
      const row = render({ ...entry.notification, readAt });
      if (hadFocus) row.querySelector(".notification-title").focus({ preventScroll: true });
    }
  }

  return {
    remove,
    replaceAll(notifications) {
      rows.clear();
      root.replaceChildren();
      empty.hidden = notifications.length > 0;
      for (const notification of notifications) place(notification);
    },
    /** Adds a new notification; its row glows for a moment. One with the same id is replaced. */
    add(notification) {
      const isKnown = rows.has(notification.id);
      if (notification.archivedAt) remove(notification.id);
      else if (isKnown) place(notification);
      else place(notification).classList.add("fresh");
    },
    append(notifications) {
      for (const notification of notifications) if (!rows.has(notification.id)) place(notification);
    },
    change,
    /** The list contains no archived notification. */
    markAll(all) {
      for (const { notification } of [...rows.values()]) {
        const { id, readAt } = notification;
        if (BigInt(id) <= BigInt(all.before)) change({ id, readAt: readAt ?? all.readAt });
      }
    },
    newestId: () => root.firstElementChild?.dataset.id,
    rowOf: (id) => rows.get(id)?.row,
    renderAgain() {
      for (const { notification } of [...rows.values()]) render(notification);
    },
    tick() {
      for (const { notification, row } of rows.values())
        row.querySelector("time").textContent = texts.ago(notification.createdAt);
    },
  };
}

/** Whether it is a path of this site. A browser takes "//host" and "/\host" for other sites. */
export function isLocalLink(link) {
  return typeof link === "string" && /^\/(?![/\\])/.test(link);
}

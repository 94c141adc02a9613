import { createInboxApi, inboxUrl } from "./api.js";
import { openStream } from "./stream.js";

/**
 * One recipient's notifications: the list, then the stream. The stream starts at the cursor of the list's snapshot, so nothing is
 * missed in between. A `reset` starts again with the list.
 */
export function openInbox({
  userId,
  onConnection,
  onList,
  onNotification,
  onMarkAll,
  onChanges,
  onRemoved,
  onReady,
  onUnread,
}) {
  const api = createInboxApi(userId);
  const seen = new Set();
  let stream;
  let retry;
  let attempt = 0;
  let closed = false;

  async function load() {
    stream?.close();
    try {
      const page = await api.list();
      if (closed) return;
      attempt = 0;
      seen.clear();
      for (const { id } of page.notifications) seen.add(id);
      onList(page);
      onUnread(page.unread);
      stream = openStream({
        url: `${inboxUrl(userId)}/stream`,
        cursor: page.cursor,
        onState: onConnection,
        onEvent: receive,
      });
    } catch {
      // After any error the list is requested again: after 1 s, 2 s … 30 s, each times 0.5 to 1.
      if (closed) return;
      onConnection("offline");
      loadAfter(Math.min(30_000, 1000 * 2 ** attempt++) * (0.5 + Math.random() / 2));
    }
  }

  function loadAfter(delayMs) {
    clearTimeout(retry);
    retry = setTimeout(load, delayMs);
  }

  function receive(name, data) {
    if (data.unread !== undefined) onUnread(data.unread);
    if (name === "ready") onReady(data);
    if (name === "state") takeState(data);
    // All clients may get a reset at the same moment. The jitter spreads their requests.
    if (name === "reset") {
      if (data.reason === "epoch_changed") seen.clear(); // other notifications may get the same ids
      loadAfter(Math.random() * 1000);
    }
    if (name === "notification") {
      onNotification(data, !seen.has(data.id));
      seen.add(data.id);
    }
  }

  function takeState({ all, changes, removed = [] }) {
    if (all) onMarkAll(all);
    // It may be moved back to this recipient.
    for (const id of removed) seen.delete(id);
    onRemoved(removed);
    onChanges(changes);
  }

  function loadNow() {
    if (attempt > 0) void load();
  }

  onConnection("connecting");
  addEventListener("online", loadNow);
  void load();

  return {
    markRead: api.markRead,
    markAllRead: () => api.markAllRead(stream?.cursor()),
    async listOlder(before) {
      const page = await api.list({ before });
      for (const { id } of page.notifications) seen.add(id);
      return page;
    },
    close() {
      closed = true;
      removeEventListener("online", loadNow);
      clearTimeout(retry);
      stream?.close();
    },
  };
}

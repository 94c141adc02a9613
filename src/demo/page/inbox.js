import { createInboxApi, inboxUrl } from "./api.js";
import { openStream } from "./stream.js";

/**
 * One recipient's notifications, from the list and then the stream. The list comes with the cursor of its own
 * snapshot and the stream starts there, so nothing falls between; a `reset` begins again with the list.
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
      // Whatever it was, the list is asked for again: 1 s, 2 s … 30 s, each times 0.5 to 1.
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
    // Everybody is told to reset at the same moment; the jitter keeps them from asking at the same moment.
    if (name === "reset") {
      if (data.reason === "epoch_changed") seen.clear(); // ids may come again, for others
      loadAfter(Math.random() * 1000);
    }
    if (name === "notification") {
      onNotification(data, !seen.has(data.id));
      seen.add(data.id);
    }
  }

  function takeState({ all, changes, removed = [] }) {
    if (all) onMarkAll(all);
    // Somebody may be given it again.
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

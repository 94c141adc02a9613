import { createActs } from "./acts.js";
import { listUsers } from "./api.js";
import { element, fillAvatar } from "./dom.js";
import { openInbox } from "./inbox.js";
import { createList } from "./list.js";
import { createSqlBox } from "./sql.js";
import { createTexts } from "./texts.js";
import { createToasts } from "./toasts.js";

const byId = (id) => document.getElementById(id);
const texts = createTexts();
const { text } = texts;

let users = [];
let userId;
let inbox;
let unread = 0;
let oldest = null;
let connection = "connecting";
let actor;

const userById = (id) => users.find((user) => user.id === id);
const list = createList({
  root: byId("notifications"),
  empty: byId("empty"),
  texts,
  userById,
  onRead: markRead,
});
const toasts = createToasts({ root: byId("toasts"), texts, userById, onOpen: openNotification });
const sqlBox = createSqlBox({
  title: byId("sql-title"),
  code: byId("sql"),
  note: byId("sql-note"),
  copy: byId("copy-sql"),
  texts,
});
const acts = createActs({
  actors: byId("actors"),
  kinds: byId("kinds"),
  panel: byId("panel"),
  problem: byId("act-problem"),
  sqlBox,
  texts,
  onActor(next) {
    actor = next;
    showActor();
  },
});

/** Shows another user's bell in this tab. The URL names the user, so that the tab keeps it after a reload. */
function watch(id) {
  userId = id;
  history.replaceState(null, "", `/?as=${id}`);
  inbox?.close();
  toasts.clear();
  list.replaceAll([]);
  byId("empty").hidden = true;
  byId("user").value = id;
  fillAvatar(byId("user-avatar"), userById(id));
  inbox = openInbox({
    userId: id,
    onConnection: showConnection,
    onReady: ({ version }) => {
      byId("version").textContent = version ? `v${version}` : "";
    },
    onUnread: showUnread,
    onList(page) {
      list.replaceAll(page.notifications);
      showOldest(page.nextBefore);
    },
    onMarkAll: list.markAll,
    onRemoved(ids) {
      for (const id of ids) list.remove(id);
    },
    onChanges(changes) {
      for (const change of changes) list.change(change);
    },
    onNotification(notification, isNew) {
      list.add(notification);
      if (!isNew) return;
      toasts.show(notification);
      acts.heard(notification);
    },
  });
  return acts.start(users, id);
}

async function markRead(id) {
  // In this tab the row changes with the answer, in other tabs with a `state` event.
  list.change((await inbox.markRead(id).catch(sayOffline)) ?? {});
}

function openNotification(id) {
  void markRead(id);
  const row = list.rowOf(id);
  row?.scrollIntoView({ block: "center" });
  row?.querySelector(".notification-title").focus({ preventScroll: true });
}

function sayOffline() {
  byId("act-problem").textContent = text("notPossible");
  byId("act-problem").hidden = false;
}

function showConnection(state) {
  connection = state;
  byId("connection").dataset.state = state;
  byId("connection-text").textContent = text(state);
}

function showUnread(count) {
  unread = count;
  const badge = byId("badge");
  const grew = count > Number(badge.dataset.count ?? 0);
  badge.dataset.count = String(count);
  badge.textContent = count > 99 ? "99+" : String(count);
  badge.hidden = count === 0;
  byId("bell").setAttribute("aria-label", text("bell", { count }));
  byId("mark-all").disabled = count === 0;
  document.title = count > 0 ? `(${count}) Bellwire` : "Bellwire";
  if (grew) ring();
}

function ring() {
  const bell = byId("bell");
  bell.classList.remove("ringing");
  // Reading the layout stops the running animation, so that each notification swings the bell again.
  void bell.offsetWidth;
  bell.classList.add("ringing");
}

function showOldest(nextBefore) {
  oldest = nextBefore;
  byId("older").hidden = oldest === null || oldest === undefined;
}

function showActor() {
  const link = byId("other-tab");
  link.hidden = !actor || actor.id === userId;
  if (!actor) return;
  link.href = `/?as=${actor.id}`;
  link.textContent = text("openAs", { name: actor.name });
}

function showTexts() {
  texts.fill(document);
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === texts.language()));
  showConnection(connection);
  showUnread(unread);
  showActor();
  sqlBox.render();
}

byId("user").addEventListener("change", (event) => watch(event.target.value));
byId("bell").addEventListener("click", () => {
  byId("inbox").scrollIntoView({ block: "start" });
  byId("inbox").focus({ preventScroll: true });
});
byId("mark-all").addEventListener("click", () => {
  inbox.markAllRead().catch(sayOffline);
});
byId("older").addEventListener("click", async () => {
  const asked = inbox;
  const page = await asked.listOlder(oldest).catch(sayOffline);
  if (!page || asked !== inbox) return;
  list.append(page.notifications);
  showOldest(page.nextBefore);
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    texts.use(button.dataset.language);
    showTexts();
    list.renderAgain();
    acts.renderAgain();
  });
}
setInterval(() => list.tick(), 20_000);

async function start() {
  try {
    users = await listUsers();
  } catch {
    showConnection("offline");
    setTimeout(start, 2000);
    return;
  }
  byId("user").replaceChildren(
    ...users.map(({ id, name }) => element("option", { value: id }, name)),
  );
  const asked = new URLSearchParams(location.search).get("as");
  const fallback = users[1] ?? users[0];
  await watch((userById(asked) ?? fallback).id);
}

showTexts();
await start();

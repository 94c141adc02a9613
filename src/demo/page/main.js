import { createActs } from "./acts.js";
import { inboxUrl, listUsers } from "./api.js";
import { element, fillAvatar } from "./dom.js";
import { createSqlBox } from "./sql.js";
import { templates } from "./templates.js";
import { createTexts } from "./texts.js";

const byId = (id) => document.getElementById(id);
const texts = createTexts();
const { text } = texts;

let users = [];
let userId;
let actor;
let followed;

const userById = (id) => users.find((user) => user.id === id);
/** Defined by /bellwire.js. It enters the page once its user is known. */
const bell = Object.assign(document.createElement("notification-bell"), { templates });
const sqlBox = createSqlBox({
  title: byId("sql-title"),
  code: byId("sql"),
  latency: byId("latency"),
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
    showUsers();
  },
});

/** Shows another user's bell in this tab. The URL names the user, so that the tab keeps it after a reload. */
function watch(id) {
  userId = id;
  followed = undefined;
  history.replaceState(null, "", `/?as=${id}`);
  bell.setAttribute("url", inboxUrl(id));
  byId("bell-place").append(bell);
  byId("user").value = id;
  fillAvatar(byId("user-avatar"), userById(id));
  showUsers();
  return acts.start(users, id);
}

function showUsers() {
  const name = userById(userId)?.name;
  byId("about-title").textContent = name ? text("bellOf", { name }) : "";
  byId("followed").textContent = followed ? text("followed", { path: followed }) : "";
  const link = byId("other-tab");
  link.hidden = !actor || actor.id === userId;
  if (!actor) return;
  link.href = `/?as=${actor.id}`;
  link.textContent = text("openAs", { name: actor.name });
}

function showTexts() {
  texts.fill(document);
  bell.lang = texts.language();
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === texts.language()));
  showUsers();
  sqlBox.render();
}

bell.addEventListener("bell-notification", ({ detail }) => acts.heard(detail.notification));
// The demo has no page for a task or a message, so it only says where the link leads.
bell.addEventListener("bell-click", (event) => {
  event.preventDefault();
  followed = event.detail.notification.link;
  showUsers();
});
byId("user").addEventListener("change", (event) => watch(event.target.value));
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    texts.use(button.dataset.language);
    showTexts();
    acts.renderAgain();
  });
}

async function start() {
  try {
    users = await listUsers();
  } catch {
    byId("act-problem").textContent = text("notPossible");
    byId("act-problem").hidden = false;
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

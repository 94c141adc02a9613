import { perform, readState } from "./api.js";
import { element } from "./dom.js";
import { createForms } from "./forms.js";

// A notification this soon after an act is treated as its result.
const CAUSED_MS = 3000;

/** How many requests of a kind wait for an answer. The kind's chip shows the number. */
const WAITING = {
  answerResponses: ({ responses }) => responses.length,
  answerHires: ({ hireRequests }) => hireRequests.length,
};

/** "Act as somebody else": who acts, what they do, and the SQL that ran. */
export function createActs({ actors, kinds, panel, problem, sqlBox, texts, onActor }) {
  const { text } = texts;
  const forms = createForms({ texts, send });
  let users = [];
  let meId;
  let actorId;
  let kind = "message";
  let state;
  let lastAct;

  async function send(act) {
    const started = { actorId, at: performance.now(), latencyMs: undefined, isShown: false };
    lastAct = started;
    problem.hidden = true;
    try {
      const { sql } = await perform({ actorId, ...act });
      sqlBox.show(sql);
      started.isShown = true;
      // The bell may ring before the response to the request arrives.
      if (started.latencyMs !== undefined) sqlBox.showLatency(started.latencyMs);
    } catch (error) {
      problem.textContent = text(error.status === 409 ? "noLongerPossible" : "notPossible");
      problem.hidden = false;
    }
    await refresh();
  }

  async function refresh() {
    const asked = actorId;
    try {
      const next = await readState(asked);
      if (asked !== actorId || JSON.stringify(next) === JSON.stringify(state)) return;
      state = next;
      render();
    } catch {
      // The connection state already shows that the service is unavailable. The next act reads the state again.
    }
  }

  function chip(name, value, checked, label, onchange, count = 0) {
    return element(
      "label",
      { class: "chip" },
      element("input", { type: "radio", name, value, checked, onchange }),
      element(
        "span",
        {},
        label,
        count > 0 ? element("span", { class: "count" }, String(count)) : null,
      ),
    );
  }

  function renderActors() {
    const chips = users.map(({ id, name }) =>
      chip("actor", id, id === actorId, id === meId ? text("you", { name }) : name, () =>
        actAs(id),
      ),
    );
    replaceChips(actors, chips);
  }

  function renderKinds() {
    const chips = forms.kinds.map((each) =>
      chip(
        "kind",
        each,
        each === kind,
        text(`kind.${each}`),
        () => {
          kind = each;
          renderPanel();
        },
        state && WAITING[each]?.(state),
      ),
    );
    replaceChips(kinds, chips);
  }

  function renderPanel() {
    if (!state) return;
    const { name } = users.find(({ id }) => id === actorId);
    panel.dataset.kind = kind;
    const content = forms.render(kind, state, meId);
    panel.replaceChildren(
      content ?? element("p", { class: "nothing" }, text(`none.${kind}`, { name })),
    );
  }

  /** Draws the form again, and keeps the typed text and the focus. */
  function render() {
    const typed = new Map(
      [...panel.querySelectorAll("textarea, input:not([type=radio])")]
        .filter((control) => control.value !== control.defaultValue)
        .map((control) => [control.name, control.value]),
    );
    const focused = document.activeElement;
    const focusedName = panel.contains(focused) ? focused.name : undefined;
    const hadFocus = panel.contains(focused);
    const hadKind = panel.dataset.kind === kind;
    renderKinds();
    renderPanel();
    if (!hadKind) return;
    for (const [name, value] of typed) {
      const control = panel.querySelector(`[name="${name}"]`);
      if (control) control.value = value;
    }
    const again = focusedName ? panel.querySelector(`[name="${focusedName}"]`) : undefined;
    if (hadFocus) (again ?? panel).focus({ preventScroll: true });
  }

  function actAs(id) {
    actorId = id;
    state = undefined;
    problem.hidden = true;
    onActor(users.find((user) => user.id === id));
    return refresh();
  }

  return {
    /** `me` watches the bell. At first somebody else acts. */
    async start(everybody, me) {
      users = everybody;
      meId = me;
      const other = users.find(({ id }) => id !== me) ?? users[0];
      const keep = actorId !== undefined && actorId !== me;
      if (!keep) actorId = other.id;
      state = undefined;
      renderActors();
      renderKinds();
      await actAs(actorId);
    },
    /** A notification arrived: the possible acts may have changed, and it may be the result of the last act. */
    heard(notification) {
      if (lastAct && lastAct.latencyMs === undefined) {
        const ms = performance.now() - lastAct.at;
        const isItsDoing = [lastAct.actorId, null].includes(notification.actorId);
        if (ms < CAUSED_MS && isItsDoing) {
          lastAct.latencyMs = ms;
          if (lastAct.isShown) sqlBox.showLatency(ms);
        }
      }
      void refresh();
    },
    renderAgain() {
      renderActors();
      renderKinds();
      renderPanel();
    },
  };
}

/** Replaces the chips after the legend, and keeps the focus on the same one. */
function replaceChips(fieldset, chips) {
  const focused = fieldset.contains(document.activeElement) ? document.activeElement.value : null;
  fieldset.replaceChildren(
    fieldset.querySelector("legend"),
    element("div", { class: "chips" }, ...chips),
  );
  if (focused !== null) fieldset.querySelector(`input[value="${focused}"]`)?.focus();
}

import { element } from "./dom.js";

/**
 * What the acting user can do of one kind: a form, or offers with buttons, or a sentence on why there is
 * nothing to do. `send` takes the act without its actor.
 */
export function createForms({ texts, send }) {
  const { text, amount } = texts;
  const priced = ({ title, price }) => `${title} · ${amount(price)}`;

  const forms = {
    message({ people, conversations }, meId) {
      const to = select("recipientId", mineFirst(people, meId, "id"), ({ id, name }) => [id, name]);
      const topic = element("select", { name: "taskId" });
      const offerTopics = () => {
        const shared = conversations.filter(({ personId }) => personId === to.value);
        topic.replaceChildren(
          element("option", { value: "" }, text("noTask")),
          ...shared.map(({ taskId, title }) => element("option", { value: taskId }, title)),
        );
      };
      to.addEventListener("change", offerTopics);
      offerTopics();
      const addressed = () => ({
        act: "message",
        recipientId: to.value,
        ...(topic.value && { taskId: topic.value }),
      });
      const file = { fileName: "portfolio.pdf" };
      return form(
        ({ body }) => ({ ...addressed(), body }),
        pair(field("to", to), field("topic", topic)),
        field("message", words("body", "messageSample")),
        buttons(
          submit("send"),
          button("attachFile", () => send({ ...addressed(), ...file }), "quiet"),
        ),
      );
    },

    respond({ openTasks }) {
      if (openTasks.length === 0) return undefined;
      const label = (task) => `${priced(task)} · ${task.customerName}`;
      const task = select("taskId", openTasks, (each) => [each.id, label(each)]);
      const price = number("price", openTasks[0].price);
      task.addEventListener("change", () => {
        price.value = openTasks.find(({ id }) => id === task.value).price;
      });
      return form(
        ({ taskId, message, price }) => ({ act: "respond", taskId, message, price: Number(price) }),
        pair(field("task", task), field("price", price)),
        field("message", words("message", "respondSample")),
        buttons(submit("respond")),
      );
    },

    answerResponses({ responses }) {
      return offers(responses, ({ id, title, userName, price }) => ({
        title,
        detail: text("offer", { name: userName, price: amount(price) }),
        actions: [
          button("accept", () => send({ act: "acceptResponse", id })),
          button("reject", () => send({ act: "rejectResponse", id }), "quiet"),
        ],
      }));
    },

    hire({ people, ownTasks }, meId) {
      const open = ownTasks.filter(({ status }) => status === "open");
      if (open.length === 0) return undefined;
      const executors = mineFirst(people, meId, "id");
      return form(
        (values) => ({ act: "hire", ...values }),
        pair(
          field(
            "executor",
            select("executorId", executors, ({ id, name }) => [id, name]),
          ),
          field(
            "task",
            select("taskId", open, (task) => [task.id, priced(task)]),
          ),
        ),
        field("message", words("message", "hireSample")),
        buttons(submit("hire")),
      );
    },

    answerHires({ hireRequests }) {
      return offers(hireRequests, ({ id, title, customerName, message }) => ({
        title,
        detail: text("fromCustomer", { name: customerName, message: message ?? "" }),
        actions: [
          button("accept", () => send({ act: "acceptHire", id })),
          button("reject", () => send({ act: "rejectHire", id }), "quiet"),
        ],
      }));
    },

    review({ reviews }, meId) {
      if (reviews.length === 0) return undefined;
      const partners = mineFirst(reviews, meId, "personId");
      const of = ({ taskId, personId, personName, title }) => [
        `${taskId}/${personId}`,
        `${personName} · ${title}`,
      ];
      return form(
        ({ of, rating, comment }) => {
          const [taskId, recipientId] = of.split("/");
          return { act: "review", taskId, recipientId, rating: Number(rating), comment };
        },
        pair(field("to", select("of", partners, of)), stars()),
        field("comment", words("comment", "commentSample")),
        buttons(submit("review")),
      );
    },

    tasks({ ownTasks }) {
      const list = offers(ownTasks, ({ id, title, price, status, executorName }) => ({
        title: priced({ title, price }),
        detail: text(`status.${status}`, { name: executorName ?? text("nobody") }),
        actions: [
          status === "in_progress"
            ? button("complete", () => send({ act: "completeTask", taskId: id }))
            : undefined,
          button("cancel", () => send({ act: "cancelTask", taskId: id }), "quiet"),
        ],
      }));
      const post = form(
        ({ title, price }) => ({ act: "postTask", title, price: Number(price) }),
        pair(field("newTask", line("title", "taskSample")), field("price", number("price", 1500))),
        buttons(submit("postTask")),
      );
      return element("div", { class: "stack" }, list, post);
    },
  };

  function form(toAct, ...children) {
    const onsubmit = (event) => {
      event.preventDefault();
      send(toAct(Object.fromEntries(new FormData(event.target))));
    };
    return element("form", { class: "stack", onsubmit }, ...children);
  }

  const field = (label, control) => element("label", { class: "field" }, text(label), control);
  const pair = (...children) => element("div", { class: "pair" }, ...children);
  const buttons = (...children) => element("div", { class: "buttons" }, ...children);
  const submit = (label) => element("button", { type: "submit", class: "primary" }, text(label));
  const button = (label, onclick, look = "secondary") =>
    element("button", { type: "button", class: look, onclick }, text(label));

  function select(name, items, toOption) {
    const options = items.map(toOption);
    return element(
      "select",
      { name },
      ...options.map(([value, label]) => element("option", { value }, label)),
    );
  }

  const number = (name, value) =>
    element("input", {
      type: "number",
      name,
      value,
      min: 1,
      max: 1_000_000,
      step: 1,
      required: true,
    });
  const line = (name, sample) =>
    element("input", { name, value: text(sample), maxlength: 200, required: true });
  const words = (name, sample) =>
    element("textarea", { name, rows: 2, maxlength: 2000, required: true }, text(sample));

  function stars() {
    const values = [1, 2, 3, 4, 5].map((value) =>
      element(
        "label",
        {},
        element("input", { type: "radio", name: "rating", value, checked: value === 5 }),
        element("span", { class: "hidden" }, text("stars", { count: value })),
        element("span", { class: "star", "aria-hidden": "true" }, "★"),
      ),
    );
    return element(
      "fieldset",
      { class: "field stars" },
      element("legend", {}, text("rating")),
      element("div", { class: "stars-row" }, ...values),
    );
  }

  function offers(items, describe) {
    if (items.length === 0) return undefined;
    const cards = items.map((item) => {
      const { title, detail, actions } = describe(item);
      return element(
        "li",
        { class: "offer" },
        element("div", {}, element("strong", {}, title), element("p", {}, detail)),
        buttons(...actions),
      );
    });
    return element("ul", { class: "offers" }, ...cards);
  }

  return {
    kinds: Object.keys(forms),
    render: (kind, state, meId) => forms[kind](state, meId),
  };
}

/** What concerns the one who watches comes first: that is whose bell rings. */
function mineFirst(items, meId, key) {
  return items.toSorted((a, b) => (b[key] === meId) - (a[key] === meId));
}

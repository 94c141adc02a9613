import { createControls } from "./controls.js";
import { element } from "./dom.js";

/**
 * One form per kind of act: a form, a list of offers with buttons, or undefined if the acting user has nothing to do.
 * `send` takes the act without its actor.
 */
export function createForms({ texts, send }) {
  const { text, amount } = texts;
  const { form, field, pair, buttons, submit, button, select, number, line, words, stars, offers } =
    createControls({ text, send });
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

  return {
    kinds: Object.keys(forms),
    render: (kind, state, meId) => forms[kind](state, meId),
  };
}

/** Puts the items of the watching user first, because that user's bell rings. */
function mineFirst(items, meId, key) {
  return items.toSorted((a, b) => (b[key] === meId) - (a[key] === meId));
}

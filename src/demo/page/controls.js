import { element } from "./dom.js";

/** The controls that forms are made of, with their labels in the page's language. A form sends its act with `send`. */
export function createControls({ text, send }) {
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

  return { form, field, pair, buttons, submit, button, select, number, line, words, stars, offers };
}

import { element } from "./dom.js";

const TOKENS =
  /(E?'(?:[^']|'')*')|\b(insert into|values|update|set|where|and|begin|commit|select|null)\b|\b(\d+)\b/g;
const CLASSES = [undefined, "sql-text", "sql-word", "sql-number"];

export const SAMPLE = `insert into messages (sender_id, recipient_id, body)
values (1, 2, 'Hello from psql');`;

/** The code box: the application's SQL, and how fast the bell rang. */
export function createSqlBox({ title, code, latency, note, copy, texts }) {
  const { text } = texts;
  let shown;
  let latencyMs;
  let copied;

  function render() {
    title.textContent = text(shown === undefined ? "sqlTry" : "sqlTitle");
    code.replaceChildren(...highlight(shown ?? SAMPLE));
    renderResult();
  }

  function renderResult() {
    latency.hidden = latencyMs === undefined;
    if (latencyMs !== undefined)
      latency.textContent = text("sqlLatency", {
        ms: texts.amount(Math.max(1, Math.round(latencyMs))),
      });
    const isRung = latencyMs === undefined ? "sqlNote" : "sqlRang";
    note.textContent = text(shown === undefined ? "sqlStart" : isRung);
  }

  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(shown ?? SAMPLE);
    } catch {
      // The clipboard needs a secure origin and a permission. Selecting by hand still works.
      getSelection().selectAllChildren(code);
      return;
    }
    copy.textContent = text("copied");
    clearTimeout(copied);
    copied = setTimeout(() => {
      copy.textContent = text("copy");
    }, 1500);
  });

  return {
    render,
    show(sql) {
      shown = sql;
      latencyMs = undefined;
      render();
    },
    showLatency(ms) {
      latencyMs = ms;
      renderResult();
    },
  };
}

function highlight(sql) {
  const nodes = [];
  let end = 0;
  for (const match of sql.matchAll(TOKENS)) {
    const kind = match.slice(1).findIndex((group) => group !== undefined) + 1;
    nodes.push(sql.slice(end, match.index), element("span", { class: CLASSES[kind] }, match[0]));
    end = match.index + match[0].length;
  }
  return [...nodes, sql.slice(end)];
}

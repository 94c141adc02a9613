/** What a PromQL expression reads: its metrics, its label names, and the values that it compares them with. */
export interface Selected {
  metrics: Set<string>;
  labels: Set<string>;
  values: Set<string>;
}

const TOKEN =
  /"((?:[^"\\]|\\.)*)"|\[[^\]]*\]|\d+(?:\.\d+)?[a-z]*|[a-zA-Z_:][\w:]*|\$\w+|[{}(),]|[^\s\w"{}()[\],$]+/g;
const GROUPING = new Set(["by", "without", "on", "ignoring", "group_left", "group_right"]);
const OPERATORS = new Set(["and", "or", "unless", "bool", "offset", "atan2"]);

/** Enough of https://prometheus.io/docs/prometheus/latest/querying/basics/ for names; `promtool` checks the syntax. */
export function selectedBy(expression: string): Selected {
  const selected: Selected = { metrics: new Set(), labels: new Set(), values: new Set() };
  const tokens = [...expression.matchAll(TOKEN)];
  /** Within `{…}` or the parentheses of a grouping, an identifier is a label. */
  let closer: string | undefined;
  tokens.forEach(([token, text], i) => {
    const next = tokens[i + 1]?.[0];
    if (token === closer) closer = undefined;
    else if (token === "{") closer = "}";
    else if (GROUPING.has(token) && next === "(") closer = ")";
    else if (text !== undefined) selected.values.add(text);
    else if (!/^[a-zA-Z_:]/.test(token) || OPERATORS.has(token)) return;
    else if (closer) selected.labels.add(token);
    else if (![token, next].some((name) => name === "(" || GROUPING.has(name ?? "")))
      selected.metrics.add(token);
  });
  return selected;
}

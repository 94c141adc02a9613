/** Some SSE clients also end a line at these characters. In JSON they occur only within strings, where they need no escape. */
const LINE_ENDS = /[\u0085\u2028\u2029]/;
const ALL_LINE_ENDS = new RegExp(LINE_ENDS, "g");

/** Encodes a value as JSON that is one line for every SSE client. */
export const encodeJson = (value: unknown): string => onOneLine(JSON.stringify(value));

/** Escapes these characters in JSON text. */
export const onOneLine = (json: string): string =>
  LINE_ENDS.test(json)
    ? json.replace(ALL_LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : json;

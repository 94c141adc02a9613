/** What some readers of event streams take for a line's end, beside those that JSON escapes; in JSON only texts have them. */
const LINE_ENDS = /[\u0085\u2028\u2029]/;
const ALL_LINE_ENDS = new RegExp(LINE_ENDS, "g");

/** A value as JSON that is one line to every reader. */
export const encodeJson = (value: unknown): string => onOneLine(JSON.stringify(value));

/** The same JSON, one line to every reader. */
export const onOneLine = (json: string): string =>
  LINE_ENDS.test(json)
    ? json.replace(ALL_LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : json;

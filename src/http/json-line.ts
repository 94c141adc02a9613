/**
 * Some readers of event streams also end a line at these characters. JSON does not escape them, and has them only within
 * strings.
 */
const LINE_ENDS = /[\u0085\u2028\u2029]/;
const ALL_LINE_ENDS = new RegExp(LINE_ENDS, "g");

/** Encodes a value as JSON that every reader takes for one line. */
export const encodeJson = (value: unknown): string => onOneLine(JSON.stringify(value));

/** Escapes the line ends in JSON that is already encoded. */
export const onOneLine = (json: string): string =>
  LINE_ENDS.test(json)
    ? json.replace(ALL_LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : json;

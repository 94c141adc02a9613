import fc from "fast-check";

/**
 * Values that may do harm. Each character of these strings is one byte. Where possible a value contains this word, which must not
 * come back in a problem or in a line of the log.
 */
export const CANARY = "canary";

/** The UTF-8 bytes of a text. */
export const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

/** Any character. For `unit: "binary"` fast-check first fills a map with the million of them, which takes most of a second. */
export const CHARACTER = fc.nat({ max: 0x10_f7ff }).map(
  (n) => String.fromCodePoint(n < 0xd800 ? n : n + 0x800), // without the surrogates
  (character) => {
    const code = String(character).codePointAt(0) ?? 0;
    return code < 0xd800 ? code : code - 0x800;
  },
);

/** Percent-encodes any bytes. */
export const encodeBytes = (bytes: string): string =>
  bytes.replace(
    /[^A-Za-z0-9._~-]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );

export const BROKEN_UTF8 = [
  "\xff",
  "\xc3",
  "\xc3\x28",
  "\xe0\x80\x80",
  "\xed\xa0\x80", // a lone surrogate
  "\xf5\x80\x80\x80",
  `${CANARY}\xfe`,
];

/** Numbers at and beyond the limits, and in notations that we do not accept. */
export const NUMBERS = [
  "1e400",
  "-1e400",
  "9223372036854775807",
  "9223372036854775808",
  "18446744073709551616",
  "9007199254740993",
  "9".repeat(400),
  "-1",
  "0",
  "-0",
  "0x10",
  "1.5",
  "5e-324",
  "1e3",
];

export const PROTOTYPE_KEYS = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
];

export const TEXTS = [
  "",
  " ",
  "\0",
  `${CANARY}\0`,
  CANARY,
  "NaN",
  "Infinity",
  "null",
  "true",
  "undefined",
  "[object Object]",
  "١٢٣",
  "' or 1=1 --",
  `'; select '${CANARY}'; --`,
  "../../etc/passwd",
  "%00",
  "%",
  "😀".repeat(20),
  "\r\nX-Canary: 1",
  "\u202e\ufeff",
  "a".repeat(3000),
  ...PROTOTYPE_KEYS,
].map(utf8);

/** Mostly well-formed JSON of unexpected types. */
export const LITERALS = [
  ...NUMBERS,
  ...NUMBERS.map((number) => `"${number}"`),
  "null",
  "true",
  "false",
  "NaN",
  "undefined",
  "[]",
  "{}",
  "[[]]",
  "[null]",
  '""',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\ud83d\\ude00"',
  `"${CANARY}"`,
  `"${CANARY}\\u0000"`,
  `["${CANARY}", 1, null]`,
  `{"${CANARY}": 1}`,
  `"${"a".repeat(201)}"`,
  `"${"a".repeat(15_000)}"`,
  `[${'"a",'.repeat(200)}"a"]`,
  `[${"0,".repeat(7000)}0]`,
  `${"[".repeat(1000)}${"]".repeat(1000)}`,
  `${'{"a":'.repeat(1000)}1${"}".repeat(1000)}`,
  ...PROTOTYPE_KEYS.map((key) => `{"${key}": {"read": true, "${CANARY}": 1}}`),
  ...BROKEN_UTF8.map((bytes) => `"${bytes}"`),
];

/** Slightly and far above the 16 KB limit of a body. */
export const LONG_BODIES = [
  `{"type": "${"x".repeat(17_000)}"}`,
  `{"type": "${"x".repeat(1_000_000)}"}`,
  "\0".repeat(1_000_000),
];

/** Bodies that are not JSON. */
export const BODIES = [
  "",
  " ",
  "\0",
  "{",
  '{"read": tr',
  "{'read': true}",
  "{}{}",
  "{} ",
  "\ufeff{}",
  `{"${CANARY}"`,
  `${CANARY}=1&read=true`,
  `--${CANARY}\r\nContent-Disposition: form-data; name="read"\r\n\r\ntrue\r\n--${CANARY}--`,
  `<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]><x>&x;</x>`,
  "[".repeat(16_000),
  '{"a":'.repeat(3000),
]
  .map(utf8)
  .concat([
    ...BROKEN_UTF8,
    Buffer.from('{"read": true}', "utf16le").toString("latin1"),
    `\xff\xfe${Buffer.from("{}", "utf16le").toString("latin1")}`,
  ]);

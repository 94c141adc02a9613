import fc from "fast-check";
import { RECIPIENT_HEADER } from "../../../src/http/auth/identify.ts";
import { framed, UNFRAMED } from "./framing.ts";
import type { Operation } from "./operations.ts";
import { type Parts, type Path, VERSION } from "./request.ts";
import { encodeBytes, utf8 } from "./samples.ts";
import { type Schemas, valuesOf } from "./schema.ts";

/** Values that the service knows, for valid requests. */
export interface Known {
  /** Headers that authenticate. */
  credentials: readonly string[];
  /** Headers that look like authentication; some are valid. */
  otherCredentials: readonly string[];
  /** Ids, cursors and tickets, of this recipient and of another. */
  words: readonly string[];
  /** Whose the credentials are, as the header has it. */
  recipient: string;
}

/** Requests that conform to the document. */
export function validParts(
  { method, path, parameters, body }: Operation,
  schemas: Schemas,
  { credentials, words, recipient }: Known,
): Parts {
  const within = (place: string) =>
    parameters
      .filter((parameter) => parameter.in === place)
      .map(({ name, schema }) => [name, valuesOf(schema, schemas, words).map(String)] as const);
  const json = body && valuesOf(body, schemas, words).map((value) => utf8(JSON.stringify(value)));
  return {
    method: fc.constant(method),
    path: fc
      .record(Object.fromEntries(within("path")))
      .map((values) => fillIn(path, values, encode)),
    query: someOf(within("query"), (name, value) => `${name}=${encode(value)}`).map((pairs) =>
      pairs.join("&"),
    ),
    version: fc.constant(VERSION),
    host: fc.constant(["Host: localhost"]),
    credential: fc.constantFrom(...credentials).map((header) => [header]),
    headers: someOf(
      within("header").map(([name]) => [
        name,
        name === RECIPIENT_HEADER
          ? fc.constant(recipient)
          : fc.oneof(VISIBLE, fc.constantFrom(...words)),
      ]),
      (name, value) => `${name}: ${value}`,
    ),
    framing: json
      ? json.map((text) => framed(text, ["Content-Type: application/json"]))
      : fc.constant(method === "GET" ? UNFRAMED : framed("", [])),
  };
}

/** The characters that every HTTP parser accepts in a header; the document only says that it is a string. */
const VISIBLE = fc.stringMatching(/^[!-~]{0,80}$/);

/** Some of these values, each written with its name. */
const someOf = (
  values: (readonly [name: string, fc.Arbitrary<string>])[],
  write: (name: string, value: string) => string,
) =>
  fc
    .record(Object.fromEntries(values), { requiredKeys: [] })
    .map((some) => Object.entries(some).map(([name, value = ""]) => write(name, value)));

/** A path whose parameters are replaced by values. */
export function fillIn(
  path: string,
  values: Record<string, string>,
  write: (text: string) => string,
): Path {
  const filled = Object.entries(values).reduce(
    (text, [name, value]) => text.replace(`{${name}}`, () => write(value)),
    path,
  );
  return { path: filled, isOwn: !Object.values(values).includes("") };
}

const encode = (text: string) => encodeBytes(utf8(text));

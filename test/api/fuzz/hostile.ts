import fc from "fast-check";
import { FRAMINGS, framed, UNFRAMED } from "./framing.ts";
import type { Operation } from "./operations.ts";
import type { Framing, Parts } from "./request.ts";
import {
  CONTENT_TYPES,
  CREDENTIALS,
  DETOURS,
  ENCODINGS,
  HEADERS,
  METHODS,
  QUERY_JUNK,
  VERSIONS,
} from "./request-samples.ts";
import {
  BODIES,
  BROKEN_UTF8,
  CANARY,
  CHARACTER,
  encodeBytes,
  LITERALS,
  LONG_BODIES,
  NUMBERS,
  PROTOTYPE_KEYS,
  TEXTS,
  utf8,
} from "./samples.ts";
import { resolve, type Schema, type Schemas } from "./schema.ts";
import { fillIn, type Known, validParts } from "./valid.ts";

/** Most parts of a request are valid, so that an invalid one gets past the first checks. */
export function hostileParts(operation: Operation, schemas: Schemas, known: Known): Parts {
  const usual = validParts(operation, schemas, known);
  const texts = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...NUMBERS) },
    { weight: 3, arbitrary: fc.constantFrom(...TEXTS, ...BROKEN_UTF8) },
    { weight: 2, arbitrary: fc.constantFrom(...known.words) },
    { weight: 2, arbitrary: nearlyOneOf(known.words) },
    { weight: 1, arbitrary: fc.string({ unit: CHARACTER }).map(utf8) },
  );
  const headers = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...HEADERS) },
    { weight: 1, arbitrary: headerOf(operation, texts) },
  );
  return {
    method: mostly(8, usual.method, fc.constantFrom(...METHODS)),
    path: hostilePath(operation, usual, texts),
    query: mostly(1, usual.query, hostileQuery(operation, usual, texts)),
    version: mostly(20, usual.version, fc.constantFrom(...VERSIONS)),
    host: mostly(50, usual.host, fc.constant([])),
    credential: mostly(5, usual.credential, hostileCredential(usual, known)),
    headers: mostly(2, usual.headers, someOf(headers)),
    framing: mostly(
      operation.body ? 1 : 4,
      usual.framing,
      hostileFraming(operation, schemas, usual),
    ),
  };
}

const mostly = <T>(times: number, usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
  fc.oneof({ weight: times, arbitrary: usual }, { weight: 1, arbitrary: odd });

/** Usually one, because the response is about the worst of several. */
const someOf = <T>(one: fc.Arbitrary<T>) =>
  mostly(
    2,
    one.map((value) => [value]),
    fc.array(one, { minLength: 1, maxLength: 4 }),
  );

/** A valid word with one character added, removed or changed, so that it gets past the first checks. */
const nearlyOneOf = (words: readonly string[]) =>
  fc
    .tuple(
      fc.constantFrom(...words),
      fc.nat(),
      fc.constantFrom("", "-", ".", "0", "1", "z", "zz"),
      fc.integer({ min: 0, max: 1 }),
    )
    .map(([word, at, piece, left]) => {
      const index = at % (word.length + 1);
      return word.slice(0, index) + piece + word.slice(index + left);
    });

const namesOf = ({ parameters }: Operation, place: string) =>
  parameters.filter((parameter) => parameter.in === place).map(({ name }) => name);

function hostilePath(operation: Operation, usual: Parts, texts: fc.Arbitrary<string>) {
  const names = namesOf(operation, "path");
  // Only characters that do not end a path are sent unencoded.
  const segments = fc.oneof(
    texts.map(encodeBytes),
    texts.map((text) => text.replace(/[\s?#/]/g, "")),
  );
  const filled = fc
    .record(Object.fromEntries(names.map((name) => [name, segments])))
    .map((values) => fillIn(operation.path, values, (text) => text));
  const detour = fc
    .tuple(usual.path, fc.constantFrom(...DETOURS))
    .map(([{ path }, lead]) => ({ path: lead(path), isOwn: false }));
  return mostly(8, names.length > 0 ? mostly(2, usual.path, filled) : usual.path, detour);
}

function hostileQuery(operation: Operation, usual: Parts, texts: fc.Arbitrary<string>) {
  const names = namesOf(operation, "query");
  const keys = mostly(
    2,
    fc.constantFrom(...names, CANARY),
    fc.constantFrom(...[...names, CANARY].flatMap(disguises), ...PROTOTYPE_KEYS, ...OTHER_KEYS),
  );
  const values = fc.oneof(
    texts.map(encodeBytes),
    texts.map((text) => text.replace(/[\s#]/g, "+")),
  );
  const piece = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(keys, values).map((pair) => pair.join("=")) },
    { weight: 2, arbitrary: usual.query },
    { weight: 1, arbitrary: fc.constantFrom(...QUERY_JUNK) },
  );
  return someOf(piece).map((pieces) => pieces.join("&"));
}

const disguises = (name: string) => [
  `${name}[]`,
  `${name}%5B%5D`,
  `${name}[${CANARY}]`,
  `${name}[__proto__][x]`,
  `${name}.x`,
  name.toUpperCase(),
];

const OTHER_KEYS = ["", "%ff", "\xff", "recipientId", "userId", "sub", "token", "access_token"];

const hostileCredential = (usual: Parts, { otherCredentials }: Known) =>
  fc.oneof(
    fc.constant<string[]>([]),
    fc.constantFrom(...otherCredentials).map((header) => [header]),
    fc.constantFrom(...CREDENTIALS).map((header) => [header]),
    fc.tuple(usual.credential, usual.credential).map((both) => both.flat()),
  );

const headerOf = (operation: Operation, texts: fc.Arbitrary<string>) =>
  fc
    .tuple(fc.constantFrom("X-Canary", ...namesOf(operation, "header")), texts)
    .map(([name, value]) => `${name}: ${value.replace(/[\r\n]/g, "")}`);

function hostileFraming({ method, body }: Operation, schemas: Schemas, usual: Parts) {
  const bodies = fc.oneof(
    { weight: 3, arbitrary: usual.framing.map((framing) => framing.body) },
    { weight: 6, arbitrary: nearlyJson(body, schemas) },
    { weight: 2, arbitrary: fc.constantFrom(...BODIES) },
    { weight: 1, arbitrary: fc.constantFrom(...LONG_BODIES) },
    { weight: 1, arbitrary: fc.json().map(utf8) },
    { weight: 1, arbitrary: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("latin1")) },
  );
  const types = mostly(
    6,
    fc.constant(contentType("application/json")),
    fc.constantFrom(undefined, ...CONTENT_TYPES).map(contentType),
  );
  const encodings = mostly(6, fc.constant(undefined), fc.constantFrom(...ENCODINGS));
  const frames = mostly(4, fc.constant(framed), fc.constantFrom(...FRAMINGS));
  const framings = fc
    .tuple(bodies, types, encodings, frames)
    .map(([text, type, encoding, frame]): Framing => {
      if (!encoding) return frame(text, type);
      const [name, encode] = encoding;
      return frame(encode(text), [...type, `Content-Encoding: ${name}`]);
    });
  return method === "GET" ? mostly(1, fc.constant(UNFRAMED), framings) : framings;
}

const contentType = (type: string | undefined) =>
  type === undefined ? [] : [`Content-Type: ${type}`];

/** JSON in which one field, or everything, is invalid. */
function nearlyJson(body: Schema | undefined, schemas: Schemas) {
  const { properties = {} } = body?.$ref ? resolve(body.$ref, schemas) : (body ?? {});
  const names = mostly(
    3,
    fc.constantFrom(...Object.keys(properties), CANARY),
    fc.constantFrom("recipientId", "id", ...PROTOTYPE_KEYS),
  );
  const literals = fc.constantFrom(...LITERALS);
  const values = fc.oneof(
    { weight: 3, arbitrary: literals },
    { weight: 1, arbitrary: fc.array(literals, { maxLength: 3 }).map((list) => `[${list}]`) },
  );
  const fields = fc.tuple(names, values).map(([name, value]) => `"${name}": ${value}`);
  const objects = someOf(fields).map((some) => `{${some}}`);
  return mostly(3, objects, literals);
}

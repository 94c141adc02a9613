import fc from "fast-check";
import { CHARACTER } from "./samples.ts";

/** The part of JSON Schema that the document uses for requests. */
export interface Schema {
  $ref?: string;
  type?: string;
  enum?: unknown[];
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  items?: Schema;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
}

export type Schemas = Record<string, Schema>;

/** Values that the schema allows, including strings that the service knows. Throws if the schema has a keyword that is not handled here. */
export function valuesOf(
  schema: Schema,
  schemas: Schemas,
  words: readonly string[],
): fc.Arbitrary<unknown> {
  if (schema.$ref) return valuesOf(resolve(schema.$ref, schemas), schemas, words);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case "string":
      return stringsOf(schema, words);
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.integer({ min: schema.minimum ?? -1000, max: 1000 });
    case "number":
      return fc.double({ min: schema.minimum ?? -1000, max: 1000, noNaN: true });
    case "array":
      return fc.array(valuesOf(schema.items ?? {}, schemas, words), {
        maxLength: Math.min(schema.maxItems ?? 5, 5),
      });
    case "object":
      return fc.record(
        Object.fromEntries(
          Object.entries(schema.properties ?? {}).map(([name, property]) => [
            name,
            valuesOf(property, schemas, words),
          ]),
        ),
        { requiredKeys: schema.required ?? [] },
      );
    default:
      throw new Error(`the fuzzer does not know this schema yet: ${JSON.stringify(schema)}`);
  }
}

/** The schema that a reference points at. */
export function resolve(ref: string, schemas: Schemas): Schema {
  const found = schemas[ref.slice("#/components/schemas/".length)];
  if (!found) throw new Error(`${ref} leads nowhere`);
  return found;
}

function stringsOf({ pattern, minLength = 0, maxLength }: Schema, words: readonly string[]) {
  const format = new RegExp(pattern ?? "", "u");
  const isAllowed = (text: string) => format.test(text) && text.length >= minLength && fits(text);
  const longest = { ...(maxLength === undefined ? {} : { maxLength }) };
  const texts = pattern
    ? fc.stringMatching(format, longest)
    : fc.string({ unit: CHARACTER, minLength, ...longest });
  const known = words.filter(isAllowed);
  return known.length > 0
    ? fc.oneof(texts.filter(isAllowed), fc.constantFrom(...known))
    : texts.filter(isAllowed);
}

/** A pattern cannot say that an id fits PostgreSQL's bigint. */
const fits = (text: string) => !/^\d{19,}$/.test(text) || BigInt(text) < 2n ** 63n;

/** What the document uses of JSON Schema. */
interface Schema {
  $ref?: string;
  anyOf?: Schema[];
  const?: unknown;
  enum?: unknown[];
  type?: string | string[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: unknown;
  description?: string;
}

/** TypeScript of these schemas of the OpenAPI document. (openapi-typescript needs TypeScript 5 beside ours.) */
export function typesOf(
  document: { components: { schemas: Record<string, Schema> } },
  names: readonly string[],
): string {
  const { schemas } = document.components;
  return names
    .map((name) => {
      const { properties = {}, required = [] } = schemas[name] ?? missing(name);
      return `export interface ${name} ${objectOf({ properties, required }, "")}\n`;
    })
    .join("\n");

  function typeOf(schema: Schema, indent: string): string {
    const { $ref, anyOf, type, items } = schema;
    if ($ref) return nameOf($ref);
    if (anyOf) return union(anyOf.map((each) => typeOf(each, indent)));
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
    if (Array.isArray(type)) return union(type);
    if (type === "array") return `${inArray(typeOf(items ?? {}, indent))}[]`;
    if (type === "object") return objectOf(schema, indent);
    if (type === "integer") return "number";
    return type ?? "unknown";
  }

  function objectOf({ properties = {}, required = [] }: Schema, indent: string): string {
    const inner = `${indent}  `;
    const fields = Object.entries(properties).map(([name, schema]) => {
      const comment = schema.description ? `${inner}/** ${schema.description} */\n` : "";
      const mark = required.includes(name) ? "" : "?";
      return `${comment}${inner}${name}${mark}: ${typeOf(schema, inner)};\n`;
    });
    return `{\n${fields.join("")}${indent}}`;
  }

  function nameOf(ref: string): string {
    const name = ref.replace("#/components/schemas/", "");
    return names.includes(name) ? name : missing(name);
  }
}

/** Formats and patterns are all `string`, which holds every literal as well. */
function union(types: readonly string[]): string {
  const has = new Set(types.flatMap((type) => type.split(" | ")));
  const kept = has.has("string") ? [...has].filter((type) => !type.startsWith('"')) : [...has];
  return kept.join(" | ");
}

const inArray = (type: string) => (type.includes(" | ") ? `(${type})` : type);

function missing(name: string): never {
  throw new Error(`There is no type ${name}: add the schema to the names.`);
}

import { openApi } from "../../../src/api/openapi.ts";
import { readVersion } from "../../../src/version.ts";
import type { Schema, Schemas } from "./schema.ts";

/** An operation of the document. */
export interface Operation {
  /** In capitals. */
  method: string;
  path: string;
  parameters: Parameter[];
  body: Schema | undefined;
  /** Its outcomes, such as `200` or `400 request_invalid`. */
  answers: ReadonlySet<string>;
}

interface Parameter {
  name: string;
  in: string;
  schema: Schema;
}

interface Described {
  parameters?: Parameter[];
  requestBody?: { content: { "application/json": { schema: Schema } } };
  responses: Record<string, { content: Record<string, { schema: { allOf?: Part[] } }> }>;
}

type Part = { properties?: { code: { enum: string[] } } };

/** The document as a client reads it. */
const document = JSON.parse(JSON.stringify(openApi(readVersion()))) as {
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Schemas };
};

export const schemas: Schemas = document.components.schemas;

export const operations: Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({
    method: method.toUpperCase(),
    path,
    parameters: described.parameters ?? [],
    body: described.requestBody?.content["application/json"].schema,
    answers: answersOf(described),
  })),
);

/** The outcomes for a method or path that is not documented, or that belongs to another operation. */
export const answersElsewhere: ReadonlySet<string> = new Set([
  ...operations.flatMap(({ answers }) => [...answers]),
  "404 route_unknown",
]);

function answersOf({ responses }: Described): Set<string> {
  return new Set(
    Object.entries(responses).flatMap(([status, { content }]) => {
      const parts = content["application/problem+json"]?.schema.allOf ?? [];
      const codes = parts.flatMap(({ properties }) => properties?.code.enum ?? []);
      return codes.length > 0 ? codes.map((code) => `${status} ${code}`) : [status];
    }),
  );
}

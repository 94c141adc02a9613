import { z } from "zod";
import { meaningOf, type PublicCode, statusOf } from "../http/problem-codes.ts";
import {
  ChangedJson,
  ChangeJson,
  CountsJson,
  EVENTS,
  HealthJson,
  Id,
  ListJson,
  LiveJson,
  MarkAll,
  Marks,
  NotificationJson,
  PollJson,
  Preferences,
  ProblemJson,
  TicketJson,
} from "../http/schemas.ts";
import { OPERATIONS, type Operation } from "./operations.ts";

/** What other places of the document refer to. */
const COMPONENTS = {
  Notification: NotificationJson,
  Change: ChangeJson,
  List: ListJson,
  Poll: PollJson,
  Counts: CountsJson,
  Changed: ChangedJson,
  Marks,
  MarkAll,
  Preferences,
  Ticket: TicketJson,
  Health: HealthJson,
  Live: LiveJson,
  Problem: ProblemJson,
  ReadyEvent: EVENTS.ready,
  NotificationEvent: EVENTS.notification,
  StateEvent: EVENTS.state,
  ResetEvent: EVENTS.reset,
  PingEvent: EVENTS.ping,
  AuthEvent: EVENTS.auth,
};

/** The OpenAPI 3.1 document of the service, made of its schemas. https://spec.openapis.org/oas/v3.1.0 */
export function openApi(version: string) {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] ??= {};
    Object.assign(paths[operation.path] ?? {}, { [operation.method]: describe(operation) });
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Bellwire",
      version,
      license: { name: "MIT", identifier: "MIT" },
      description: "An inbox of notifications, and their stream.",
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }, { cookie: [] }],
    paths,
    components: {
      schemas: describeComponents(),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        cookie: {
          type: "apiKey",
          in: "cookie",
          name: "JWT_COOKIE",
          description: "The cookie that the variable JWT_COOKIE names; from pages that may use it.",
        },
        ticket: { type: "apiKey", in: "query", name: "ticket" },
      },
    },
  };
}

function describe({ name, summary, description, body, ...rest }: Operation) {
  const parameters = describeParameters(rest);
  return {
    operationId: name,
    summary,
    ...(description ? { description } : {}),
    ...(rest.security ? { security: rest.security } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body ? { requestBody: { required: body.isRequired, content: asJson(body.schema) } } : {}),
    responses: { ...describeAnswers(rest.answers), ...describeProblems(rest.problems) },
  };
}

function describeAnswers(answers: Operation["answers"]) {
  return Object.fromEntries(
    Object.entries(answers).map(([status, schema]) => [
      status,
      schema === "event stream"
        ? {
            description: "Events, until either side ends it",
            content: { "text/event-stream": { schema: { type: "string" } } },
          }
        : { description: status === "200" ? "Done" : "Not now", content: asJson(schema) },
    ]),
  );
}

/** One answer a status, which names its codes. */
function describeProblems(codes: readonly PublicCode[]) {
  const statuses = new Set(codes.map(statusOf));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const own = codes.filter((code) => statusOf(code) === status);
      const schema = {
        allOf: [refer("Problem"), { properties: { code: { enum: own } } }],
      };
      return [
        status,
        {
          description: own.map((code) => `\`${code}\`: ${meaningOf(code)}`).join("\n"),
          content: { "application/problem+json": { schema } },
        },
      ];
    }),
  );
}

function asJson(schema: z.ZodType) {
  const name = Object.entries(COMPONENTS).find(([, component]) => component === schema)?.[0];
  return { "application/json": { schema: name ? refer(name) : toJsonSchema(schema) } };
}

function toJsonSchema(schema: z.ZodType) {
  const { $schema: _, ...described } = z.toJSONSchema(schema, AS_SENT);
  return described;
}

const refer = (name: string) => ({ $ref: `#/components/schemas/${name}` });

function describeComponents() {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(COMPONENTS)) registry.add(schema, { id });
  const uri = (id: string) => refer(id).$ref;
  const { schemas } = z.toJSONSchema(registry, { ...AS_SENT, uri });
  // Each comes as a document of its own.
  for (const schema of Object.values(schemas)) {
    delete schema.$schema;
    delete schema.$id;
  }
  return schemas;
}

/** As it goes over the wire; without what zod adds to say precisely what the format or JavaScript says already. */
const AS_SENT = {
  io: "input",
  override({ jsonSchema }) {
    if (jsonSchema.format === "date-time" || jsonSchema.format === "uuid")
      delete jsonSchema.pattern;
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  },
} satisfies z.core.ToJSONSchemaParams;

function describeParameters({ path, header, query }: Pick<Operation, "path" | "header" | "query">) {
  const inPath = path.includes("{id}")
    ? [{ name: "id", in: "path", required: true, schema: toJsonSchema(Id) }]
    : [];
  const inHeader = header ? [{ ...header, in: "header", schema: { type: "string" } }] : [];
  const properties = query ? toJsonSchema(query).properties : {};
  const inQuery = Object.entries(properties ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    schema,
  }));
  return [...inPath, ...inHeader, ...inQuery];
}

import type { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiOverride,
  type ZodOpenApiPathsObject,
} from "zod-openapi";
import { RECIPIENT_HEADER } from "../http/auth/identify.ts";
import { meaningOf, type PublicCode, statusOf } from "../http/problem-codes.ts";
import { MarkAll, Marks, Preferences } from "../http/request-schemas.ts";
import {
  ChangedJson,
  ChangeJson,
  CountsJson,
  EVENTS,
  HealthJson,
  ListJson,
  LiveJson,
  NotificationJson,
  PollJson,
  ProblemJson,
  TicketJson,
} from "../http/response-schemas.ts";
import { OPERATIONS, type Operation, WriteHeaders } from "./operations.ts";

/** Schemas with a name in the document. Other places refer to them by `$ref`. */
const SCHEMAS = {
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

/** The OpenAPI 3.1 document of the service, made from its zod schemas. https://spec.openapis.org/oas/v3.1.0 */
export function openApi(version: string) {
  const paths: ZodOpenApiPathsObject = {};
  for (const operation of OPERATIONS)
    paths[operation.path] = { ...paths[operation.path], [operation.method]: describe(operation) };
  return createDocument(
    {
      openapi: "3.1.0",
      info: {
        title: "Bellwire",
        version,
        license: { name: "MIT", identifier: "MIT" },
        description: "An inbox of notifications and the stream of its changes.",
      },
      servers: [{ url: "/" }],
      security: [{ bearer: [] }, { cookie: [] }],
      paths,
      components: {
        schemas: SCHEMAS,
        headers: {
          Recipient: {
            description:
              "The id of the recipient whom the token belongs to, as encodeURIComponent() writes it. Pages that use cookies learn from it that another user has signed in.",
            schema: { type: "string" },
          },
        },
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
          cookie: {
            type: "apiKey",
            in: "cookie",
            name: "JWT_COOKIE",
            description:
              "The variable JWT_COOKIE names the cookie. Only pages of the service's own host and of ALLOWED_ORIGINS may use it.",
          },
          ticket: { type: "apiKey", in: "query", name: "ticket" },
        },
      },
    },
    { override: leaveOutPatterns },
  );
}

function describe(operation: Operation): ZodOpenApiOperationObject {
  const { name, summary, description, params, body, answers, problems, security } = operation;
  return {
    operationId: name,
    summary,
    ...(description ? { description } : {}),
    ...(security ? { security } : {}),
    ...(params || body
      ? { requestParams: { ...params, ...(body ? { header: WriteHeaders } : {}) } }
      : {}),
    ...(body ? { requestBody: { required: body.isRequired, content: asJson(body.schema) } } : {}),
    responses: { ...describeAnswers(answers, security), ...describeProblems(problems) },
  };
}

function describeAnswers(answers: Operation["answers"], security: Operation["security"]) {
  // Routes without a token have an empty list.
  const headers = security?.length === 0 ? {} : { headers: { [RECIPIENT_HEADER]: RECIPIENT } };
  return Object.fromEntries(
    Object.entries(answers).map(([status, schema]) => [
      status,
      schema === "event stream"
        ? {
            ...headers,
            description: "Events, until one side closes the stream",
            content: { "text/event-stream": { schema: { type: "string" as const } } },
          }
        : {
            ...headers,
            description: status === "200" ? "OK" : "Not ready",
            content: asJson(schema),
          },
    ]),
  );
}

const RECIPIENT = { $ref: "#/components/headers/Recipient" } as const;

const asJson = (schema: z.ZodType) => ({ "application/json": { schema } });

/** One response per status, with its codes. */
function describeProblems(codes: readonly PublicCode[]) {
  const statuses = new Set(codes.map(statusOf));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const own = codes.filter((code) => statusOf(code) === status);
      const schema = {
        allOf: [{ $ref: "#/components/schemas/Problem" }, { properties: { code: { enum: own } } }],
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

/** Removes a pattern that the format implies, and a maximum that every JavaScript number has. */
const leaveOutPatterns: ZodOpenApiOverride = ({ jsonSchema }) => {
  if (jsonSchema.format === "date-time" || jsonSchema.format === "uuid") delete jsonSchema.pattern;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
};

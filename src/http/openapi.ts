import { z } from "zod";
import { meaningOf, type ProblemCode, statusOf } from "./problem-codes.ts";
import {
  ChangedJson,
  ChangeJson,
  CountsJson,
  HealthJson,
  Id,
  ListJson,
  ListQuery,
  LiveJson,
  MarkAll,
  Marks,
  NotificationJson,
  PollJson,
  PollQuery,
  Preferences,
  ProblemJson,
  TicketJson,
} from "./schemas.ts";

interface Operation {
  method: "get" | "patch" | "post" | "put";
  path: string;
  /** Names the operation in generated clients. */
  name: string;
  summary: string;
  description?: string;
  parameters?: object[];
  body?: { schema: z.ZodType; isRequired: boolean };
  /** Of the answers that are no problems. */
  answers: Record<number, z.ZodType | "event stream">;
  problems: readonly ProblemCode[];
  security?: object[];
}

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
};

const ANY = ["request_malformed", "request_timeout", "headers_too_large", "internal"] as const;
const TOKEN = ["token_missing", "token_invalid", "origin_refused"] as const;
const READ = [...ANY, ...TOKEN, "keys_unavailable", "unavailable", "request_invalid"] as const;
const BODY = ["body_too_large", "body_not_json", "body_encoding"] as const;
const WRITE = [...READ, ...BODY] as const;

const BASE = "/api/notifications";

const OPERATIONS: Operation[] = [
  {
    method: "get",
    path: `${BASE}/stream`,
    name: "openStream",
    summary: "The event stream",
    description:
      "Server-Sent Events: `ready` first, then `notification`, `state`, `reset`, `ping` and `auth`. Whatever will pass " +
      "(the database is away, draining, overload) is 200 with `retry` and an end, for any other status stops a " +
      "browser's EventSource for good.",
    parameters: [
      headerParameter("Last-Event-ID", "Where to resume; a browser sends it by itself."),
      queryParameter("lastEventId", "The same, for a new EventSource: the `cursor` of a list."),
      queryParameter("last_event_id", "The same."),
      queryParameter("ticket", "A ticket, in the place of a token."),
    ],
    answers: { 200: "event stream" },
    problems: [...ANY, ...TOKEN, "too_many_streams"],
    security: [{ bearer: [] }, { cookie: [] }, { ticket: [] }],
  },
  {
    method: "get",
    path: BASE,
    name: "list",
    summary: "A page of the inbox, newest first",
    parameters: queryParameters(ListQuery),
    answers: { 200: ListJson },
    problems: READ,
  },
  {
    method: "get",
    path: `${BASE}/poll`,
    name: "poll",
    summary: "What the stream would have sent since a cursor",
    parameters: queryParameters(PollQuery),
    answers: { 200: PollJson },
    problems: [...READ, "too_many_streams", "overloaded"],
  },
  {
    method: "get",
    path: `${BASE}/unread-count`,
    name: "countUnread",
    summary: "The badge",
    answers: { 200: CountsJson },
    problems: READ,
  },
  {
    method: "patch",
    path: `${BASE}/{id}`,
    name: "mark",
    summary: "Mark one read, seen or archived, or not",
    parameters: [
      { name: "id", in: "path", required: true, schema: z.toJSONSchema(Id, { io: "input" }) },
    ],
    body: { schema: Marks, isRequired: true },
    answers: { 200: NotificationJson },
    problems: [...WRITE, "notification_unknown"],
  },
  ...(["read", "seen"] as const).map(
    (as): Operation => ({
      method: "post",
      path: `${BASE}/mark-all-${as}`,
      name: as === "read" ? "markAllRead" : "markAllSeen",
      summary: `Mark all as ${as}`,
      body: { schema: MarkAll, isRequired: false },
      answers: { 200: ChangedJson },
      problems: WRITE,
    }),
  ),
  {
    method: "get",
    path: `${BASE}/preferences`,
    name: "readPreferences",
    summary: "What is muted",
    answers: { 200: Preferences },
    problems: READ,
  },
  {
    method: "put",
    path: `${BASE}/preferences`,
    name: "writePreferences",
    summary: "Mute these types and no others",
    body: { schema: Preferences, isRequired: true },
    answers: { 200: Preferences },
    problems: WRITE,
  },
  {
    method: "post",
    path: `${BASE}/tickets`,
    name: "issueTicket",
    summary: "A ticket that opens one stream within 30 s",
    answers: { 200: TicketJson },
    problems: WRITE,
  },
  {
    method: "get",
    path: "/livez",
    name: "isLive",
    summary: "Whether the process answers",
    answers: { 200: LiveJson },
    problems: ANY,
    security: [],
  },
  {
    method: "get",
    path: "/readyz",
    name: "isReady",
    summary: "Whether it hears and reads the database",
    answers: { 200: HealthJson, 503: HealthJson },
    problems: ANY,
    security: [],
  },
  {
    method: "get",
    path: "/openapi.json",
    name: "describe",
    summary: "This document",
    answers: { 200: z.looseObject({ openapi: z.literal("3.1.0") }) },
    problems: ANY,
    security: [],
  },
];

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

function describe({ name, summary, description, parameters, body, ...rest }: Operation) {
  return {
    operationId: name,
    summary,
    ...(description ? { description } : {}),
    ...(rest.security ? { security: rest.security } : {}),
    ...(parameters ? { parameters } : {}),
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
function describeProblems(codes: readonly ProblemCode[]) {
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
  return { "application/json": { schema: name ? refer(name) : z.toJSONSchema(schema) } };
}

const refer = (name: string) => ({ $ref: `#/components/schemas/${name}` });

function describeComponents() {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(COMPONENTS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    io: "input",
    uri: (id) => `#/components/schemas/${id}`,
  });
  return schemas;
}

function queryParameters(schema: z.ZodObject) {
  const { properties = {} } = z.toJSONSchema(schema, { io: "input" });
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: "query",
    schema: property,
  }));
}

function queryParameter(name: string, description: string) {
  return { name, in: "query", description, schema: { type: "string" } };
}

function headerParameter(name: string, description: string) {
  return { name, in: "header", description, schema: { type: "string" } };
}

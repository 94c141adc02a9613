import { z } from "zod";
import type { ZodOpenApiParameters } from "zod-openapi";
import { RECIPIENT_HEADER } from "../http/auth/identify.ts";
import type { PublicCode } from "../http/problem-codes.ts";
import {
  Id,
  ListQuery,
  MarkAll,
  Marks,
  PollQuery,
  Preferences,
  StreamQuery,
} from "../http/request-schemas.ts";
import {
  ApiJson,
  ChangedJson,
  CountsJson,
  HealthJson,
  ListJson,
  LiveJson,
  NotificationJson,
  PollJson,
  TicketJson,
} from "../http/response-schemas.ts";

/** A route's input and responses. */
export interface Operation {
  method: "get" | "patch" | "post" | "put";
  path: string;
  /** The operation's name in generated clients. */
  name: string;
  summary: string;
  description?: string;
  params?: ZodOpenApiParameters;
  body?: { schema: z.ZodType; isRequired: boolean };
  /** Schemas of the responses other than problems. */
  answers: Record<number, z.ZodType | "event stream">;
  problems: readonly PublicCode[];
  /** Replaces the document's default if set. */
  security?: Record<string, string[]>[];
}

const ANY = ["request_malformed", "request_timeout", "headers_too_large", "internal"] as const;
const TOKEN = ["token_missing", "token_invalid", "origin_refused"] as const;
const READ = [...ANY, ...TOKEN, "keys_unavailable", "unavailable", "request_invalid"] as const;
const BODY = ["body_too_large", "body_not_json", "body_encoding"] as const;
const WRITE = [...READ, ...BODY] as const;

const StreamHeaders = z.object({
  "Last-Event-ID": z
    .string()
    .optional()
    .describe("Where to resume. A browser sends it when it reconnects."),
});

/** Of every operation with a body. */
export const WriteHeaders = z.object({
  [RECIPIENT_HEADER]: z
    .string()
    .optional()
    .describe(
      "Whom the write is for, as a response named the recipient. Refused with `request_invalid` if the token is another recipient's.",
    ),
});

const BASE = "/api/notifications";

/** Every route, for `/openapi.json`. A test compares it with the router. */
export const OPERATIONS: Operation[] = [
  {
    method: "get",
    path: `${BASE}/stream`,
    name: "openStream",
    summary: "The event stream",
    description:
      "Server-Sent Events: `ready` first, then `notification`, `state`, `reset`, `ping` and `auth`. The data of each is one line " +
      "of JSON; its schema in this document is ReadyEvent, NotificationEvent and so on. If the service cannot stream for now (the " +
      "database is unavailable, it drains, it is overloaded), it answers 200 with `retry` and ends the stream, because any other " +
      "status stops a browser's EventSource for good.",
    params: { header: StreamHeaders, query: StreamQuery },
    answers: { 200: "event stream" },
    problems: [...ANY, ...TOKEN, "too_many_streams"],
    security: [{ bearer: [] }, { cookie: [] }, { ticket: [] }],
  },
  {
    method: "get",
    path: BASE,
    name: "list",
    summary: "A page of the inbox, newest first",
    params: { query: ListQuery },
    answers: { 200: ListJson },
    problems: [...READ, "overloaded"],
  },
  {
    method: "get",
    path: `${BASE}/poll`,
    name: "poll",
    summary: "What the stream would have sent since a cursor",
    params: { query: PollQuery },
    answers: { 200: PollJson },
    problems: [...READ, "too_many_streams", "overloaded"],
  },
  {
    method: "get",
    path: `${BASE}/unread-count`,
    name: "countUnread",
    summary: "The counts for the badge",
    answers: { 200: CountsJson },
    problems: READ,
  },
  {
    method: "get",
    path: `${BASE}/{id}`,
    params: { path: z.object({ id: Id }) },
    name: "read",
    summary: "One notification, never cut",
    answers: { 200: NotificationJson },
    problems: [...READ, "notification_unknown", "overloaded"],
  },
  {
    method: "patch",
    path: `${BASE}/{id}`,
    params: { path: z.object({ id: Id }) },
    name: "mark",
    summary: "Mark or unmark one as read, seen or archived",
    body: { schema: Marks, isRequired: true },
    answers: { 200: NotificationJson },
    problems: [...WRITE, "notification_unknown", "overloaded"],
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
    summary: "The muted types",
    answers: { 200: Preferences },
    problems: READ,
  },
  {
    method: "put",
    path: `${BASE}/preferences`,
    name: "writePreferences",
    summary: "Replace the muted types",
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
    summary: "Whether the service hears and reads the database",
    answers: { 200: HealthJson, 503: HealthJson },
    problems: ANY,
    security: [],
  },
  {
    method: "get",
    path: "/openapi.json",
    name: "describe",
    summary: "This document",
    answers: { 200: ApiJson },
    problems: ANY,
    security: [],
  },
];

import fc from "fast-check";
import type { Operation } from "./operations.ts";

/** A request as it is sent. Each character of these strings is one byte, so any bytes can be sent. */
export interface FuzzRequest {
  operation: Operation;
  method: string;
  target: string;
  version: string;
  /** The lines of the headers, sent unchanged. */
  headers: string[];
  body: string;
  /** The request conforms to the document. */
  isValid: boolean;
  /** Method and path are the operation's, so the response must be one of its responses. */
  isOfOperation: boolean;
  /** The body is as long as the headers say, so there is a response. */
  isWhole: boolean;
  /** The headers may announce more than the body has. */
  isUnfinished: boolean;
}

/** The parts of a request. */
export interface Parts {
  method: fc.Arbitrary<string>;
  path: fc.Arbitrary<Path>;
  query: fc.Arbitrary<string>;
  version: fc.Arbitrary<string>;
  host: fc.Arbitrary<string[]>;
  credential: fc.Arbitrary<string[]>;
  headers: fc.Arbitrary<string[]>;
  framing: fc.Arbitrary<Framing>;
}

export interface Path {
  path: string;
  /** The path is still the operation's. */
  isOwn: boolean;
}

/** A body, with the headers for its type and length. */
export interface Framing {
  headers: string[];
  body: string;
  /** The headers are true. */
  isHonest: boolean;
}

export const VERSION = " HTTP/1.1";

/** While we send a longer body the service may end the connection, and then its response can be lost. */
const LONG = 32_768;

export function assemble(operation: Operation, parts: Parts): fc.Arbitrary<FuzzRequest> {
  return fc
    .record({ ...parts })
    .map(({ method, path, query, version, host, credential, headers, framing }) => {
      const target = query === "" ? path.path : `${path.path}?${query}`;
      const isOfOperation = method === operation.method && path.isOwn && version === VERSION;
      const isPlain = isOfOperation && headers.length === 0 && /^[!-~]{1,8000}$/.test(target);
      const lines = [...host, ...credential, ...headers, ...framing.headers];
      const isShort = lines.join().length + framing.body.length < LONG;
      return {
        operation,
        method,
        target,
        version,
        headers: lines,
        body: framing.body,
        isValid: false,
        isOfOperation,
        isWhole: framing.isHonest && (isPlain || isShort),
        isUnfinished: !framing.isHonest,
      };
    });
}

export const toBytes = ({ method, target, version, headers, body }: FuzzRequest): Buffer =>
  Buffer.from([`${method} ${target}${version}`, ...headers, "", body].join("\r\n"), "latin1");

/** Makes fast-check print a failing request as it is sent. */
export const printable = (request: FuzzRequest): FuzzRequest =>
  Object.assign(request, {
    [fc.toStringMethod]() {
      const text = JSON.stringify(toBytes(request).toString("latin1"));
      const shown = text.length > 4000 ? `${text.slice(0, 4000)}… (${text.length})` : text;
      return request.isUnfinished ? `${shown}, and an end` : shown;
    },
  });

import fc from "fast-check";
import type { Operation } from "./operations.ts";

/** A request as it is sent. A character of these strings is a byte, so there is nothing that cannot be sent. */
export interface FuzzRequest {
  operation: Operation;
  method: string;
  target: string;
  version: string;
  /** The headers' lines, as they stand. */
  headers: string[];
  body: string;
  /** Everything is as the document wants it. */
  isValid: boolean;
  /** Method and path are the operation's, so the answer is one of its answers. */
  isOfOperation: boolean;
  /** It is as long as it says, so there is an answer. */
  isWhole: boolean;
  /** It may promise more than it has. */
  isUnfinished: boolean;
}

/** What a request is put together from. */
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
  /** It is still the operation's. */
  isOwn: boolean;
}

/** A body, with the headers that say what it is and how long. */
export interface Framing {
  headers: string[];
  body: string;
  /** They say it truly. */
  isHonest: boolean;
}

export const VERSION = " HTTP/1.1";

/** Of a longer one the answer can be lost with the connection, where the service ends that: we are still sending. */
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

/** Has fast-check print a request that fails as what is sent. */
export const printable = (request: FuzzRequest): FuzzRequest =>
  Object.assign(request, {
    [fc.toStringMethod]() {
      const text = JSON.stringify(toBytes(request).toString("latin1"));
      const shown = text.length > 4000 ? `${text.slice(0, 4000)}… (${text.length})` : text;
      return request.isUnfinished ? `${shown}, and an end` : shown;
    },
  });

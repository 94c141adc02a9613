import fc from "fast-check";
import { hostileParts } from "./hostile.ts";
import { type Operation, schemas } from "./operations.ts";
import { assemble, type FuzzRequest, printable } from "./request.ts";
import { type Known, validParts } from "./valid.ts";

/** Requests to an operation. One in five conforms to the document. */
export function requestsOf(operation: Operation, known: Known): fc.Arbitrary<FuzzRequest> {
  const valid = assemble(operation, validParts(operation, schemas, known));
  const hostile = assemble(operation, hostileParts(operation, schemas, known));
  return fc
    .oneof(
      { weight: 1, arbitrary: valid.map((request) => ({ ...request, isValid: true })) },
      { weight: 4, arbitrary: hostile },
    )
    .map(printable);
}

// Turns an error of node's HTTP parser into the failure that the client is told, with what was wrong.
// Used by listener.ts; pure.

import { codeOf, Failure, howOf, whyInvalid } from "../core/errors.ts";

/** An error of node's parser: `reason` is what the parser says, `rawPacket` the bytes that it was given. */
interface ParserError extends Error {
  reason?: string;
  rawPacket?: Buffer;
}

/** The first bytes of a TLS connection: a handshake record (RFC 8446 5.1). */
const TLS_RECORD = [0x16, 0x03];

/** The failure for an error of node's parser; undefined for socket errors, when the client cannot be told anything. */
export function failureOf(error: ParserError): Failure | undefined {
  const code = codeOf(error);
  if (code === "HPE_HEADER_OVERFLOW" || code === "HPE_CHUNK_EXTENSIONS_OVERFLOW")
    return new Failure("header_too_large");
  if (howOf(error) !== "protocol") return undefined;
  const isTls = TLS_RECORD.every((byte, at) => error.rawPacket?.[at] === byte);
  const why = isTls
    ? whyInvalid("a TLS handshake", "plain HTTP, because TLS ends at the server in front")
    : whyInvalid(`bytes that break HTTP${error.reason ? ` (${error.reason})` : ""}`, "HTTP/1.1");
  return new Failure("bad_request", { why });
}

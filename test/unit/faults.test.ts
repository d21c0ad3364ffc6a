import { constants } from "node:os";
import { expect, test } from "vitest";
import { faultOf, type Fault } from "../../src/core/errors.ts";

/** Every code of socket(2), connect(2), tcp(7), unix(7) and getaddrinfo(3): with a port, and with a unix socket. */
const CODES: [code: string, tcp: Fault, unix: Fault][] = [
  ["EACCES", "gone", "gone"],
  ["EADDRINUSE", "ours", "ours"],
  ["EADDRNOTAVAIL", "ours", "ours"],
  ["EAFNOSUPPORT", "gone", "gone"],
  ["EAGAIN", "ours", "busy"],
  ["ECONNREFUSED", "gone", "gone"],
  ["ECONNRESET", "gone", "gone"],
  ["EHOSTDOWN", "gone", "gone"],
  ["EHOSTUNREACH", "gone", "gone"],
  ["EINTR", "ours", "ours"],
  ["EINVAL", "gone", "gone"],
  ["ELOOP", "gone", "gone"],
  ["EMFILE", "ours", "ours"],
  ["ENAMETOOLONG", "gone", "gone"],
  ["ENETDOWN", "gone", "gone"],
  ["ENETUNREACH", "gone", "gone"],
  ["ENFILE", "ours", "ours"],
  ["ENOBUFS", "ours", "ours"],
  ["ENOENT", "gone", "gone"],
  ["ENOMEM", "ours", "ours"],
  ["ENOTDIR", "gone", "gone"],
  ["EPERM", "gone", "gone"],
  ["EPROTONOSUPPORT", "gone", "gone"],
  ["EPROTOTYPE", "gone", "gone"],
  ["ETIMEDOUT", "gone", "gone"],
];
const NAMES: [code: string, fault: Fault][] = [
  ["EAI_AGAIN", "gone"],
  ["EAI_FAIL", "gone"],
  ["EAI_MEMORY", "ours"],
  ["ENOTFOUND", "gone"],
];

test.each(CODES)("%s is a code of the system: with a port %s, with a unix socket %s", (code, tcp, unix) => {
  if (process.platform === "linux" && code !== "EHOSTDOWN") expect(constants.errno).toHaveProperty(code);
  expect([faultOf(code, false), faultOf(code, true)]).toEqual([tcp, unix]);
});

test.each(NAMES)("%s of a name that is looked up: %s", (code, fault) => {
  expect(faultOf(code, false)).toBe(fault);
});

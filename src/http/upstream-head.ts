// Writes the head of a request that goes to the upstream, from what request-head.ts has read. Called by proxy/gate.ts;
// pure.

import { linesOf, ows } from "./fields.ts";
import { hopsLeft, type Peer, type RequestHead } from "./request-head.ts";

/**
 * The field that replaces Via with `--via off`, with all entries of Via. Every single-port reads both names, so loops
 * are noticed under either. Responses get neither: for a gateway that is optional (RFC 9110 7.6.3).
 */
export const QUIET_VIA = "X-Single-Port-Via";

/** What this proxy adds to a request. */
export interface Adds {
  /** This instance's entry, as `viaOf()` writes it. */
  via: string;
  /** The field for it. Some servers behave differently for requests with Via (nginx: `gzip_proxied`). */
  viaField: "Via" | typeof QUIET_VIA;
  /** Are X-Forwarded-For, -Proto and -Host added? If not, those of a trusted front pass unchanged. */
  forwarded: boolean;
}

/** Replaces a field's value, or adds the field at the front. */
function setField(fields: string[], name: string, value: string): void {
  const lower = name.toLowerCase();
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() !== lower) continue;
    fields[i + 1] = value;
    return;
  }
  fields.unshift(name, value);
}

/** Methods whose requests usually have no body (RFC 9110 9.3). */
const BODILESS = /^(GET|HEAD|DELETE|OPTIONS|TRACE)$/;

/**
 * Is the request the last one on its upstream connection? Some servers do not read a body in chunks, or one where none
 * is usual (Python's http.server), and take it for the next request, which its sender can write as he likes. Its answer
 * must be nobody's.
 */
export function isLast(method: string, { codings, length }: Pick<RequestHead, "codings" | "length">): boolean {
  return codings.length > 0 || (BODILESS.test(method) && Number(length ?? 0) > 0);
}

/**
 * Is the upstream told so? Such servers then stop behind the request, as Next.js and httpxy count on
 * (GHSA-ggv3-7p47-pfv8). Not for an upload: a server that refuses one early, and closes, resets the connection, and its
 * answer is lost.
 */
function saysClose(method: string, head: RequestHead): boolean {
  return BODILESS.test(method) && isLast(method, head);
}

/** The forwarding fields of a peer that is not trusted: none. */
const UNSAID: Pick<RequestHead, "forwardedFor" | "forwardedProto" | "forwardedHost" | "claims"> = {
  forwardedFor: [],
  forwardedProto: undefined,
  forwardedHost: undefined,
  claims: [],
};

/**
 * The forwarding fields: those of a trusted peer and, with `adds`, what this proxy knows of the client.
 *
 * @param host the host that the client asked for.
 */
function forwardedLines(head: RequestHead, host: string | undefined, peer: Peer, adds: boolean): string {
  const said = peer.trusted ? head : UNSAID;
  const hops = said.forwardedFor.filter((one) => ows(one) !== "");
  if (adds && peer.address !== "") hops.push(peer.address);
  const proto = said.forwardedProto || (adds ? "http" : undefined);
  const asked = said.forwardedHost || (adds ? host : undefined);
  let text = hops.length > 0 ? `X-Forwarded-For: ${hops.join(", ")}\r\n` : "";
  if (proto) text += `X-Forwarded-Proto: ${proto}\r\n`;
  if (asked) text += `X-Forwarded-Host: ${asked}\r\n`;
  return text + linesOf(said.claims);
}

/**
 * The head to send to the upstream. Framing fields come last and are rewritten from what was parsed (RFC 9112 11.2).
 *
 * @param line method and request target, as they are sent.
 * @param upgrade ask the upstream for a WebSocket; otherwise the client's Upgrade field is not passed on.
 */
export function toUpstream(
  head: RequestHead,
  { method, path }: { method: string; path: string },
  peer: Peer,
  adds: Adds,
  upgrade: boolean,
): string {
  const host = head.authority ?? head.hosts[0];
  if (head.authority !== undefined) setField(head.fields, "Host", head.authority);
  const hops = hopsLeft(method, head);
  if (hops !== undefined) setField(head.fields, "Max-Forwards", String(hops - 1));
  let text = `${method} ${path} HTTP/1.1\r\n${linesOf(head.fields)}`;
  // An HTTP/1.0 client may omit Host (health checks do). The request goes on as HTTP/1.1, where Host is required.
  if (host === undefined) text += "Host: localhost\r\n";
  text += forwardedLines(head, host, peer, adds.forwarded);
  text += `${adds.viaField}: ${head.via.length > 0 ? `${head.via.join(", ")}, ${adds.via}` : adds.via}\r\n`;
  if (upgrade) return `${text}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  if (head.codings.length > 0) {
    if (head.trailer !== undefined) text += `Trailer: ${head.trailer}\r\n`;
    text += "Transfer-Encoding: chunked\r\n";
  } else if (head.length !== undefined) text += `Content-Length: ${head.length}\r\n`;
  // Methods that usually have a body state its absence (RFC 9110 8.6).
  else if (!BODILESS.test(method)) text += "Content-Length: 0\r\n";
  const persistence = saysClose(method, head) ? "close" : "keep-alive";
  // TE is a hop-by-hop field, so Connection has to name it (RFC 9110 10.1.4).
  if (head.takesTrailers) return `${text}TE: trailers\r\nConnection: ${persistence}, TE\r\n\r\n`;
  return `${text}Connection: ${persistence}\r\n\r\n`;
}

// A request's head: which fields pass, which are written anew, and which are the proxy's own (RFC 9110 7.6).
// Called by gate.ts, for the router's facts and for what goes upstream; pure.

import { codingsOf, dropNominated, linesOf, nominate, ows, tokens } from "./fields.ts";
import { isDisguised, isFrontField } from "./front-fields.ts";

/** What one pass over a request's fields finds out. */
export interface RequestHead {
  /** End-to-end fields as sent, without those this file writes anew. */
  fields: string[];
  hosts: string[];
  /** Of an absolute-form target, which stands in for Host; undefined for the other forms. */
  authority: string | undefined;
  /** Content-Length as sent; undefined when absent. The parser has refused malformed and repeated ones. */
  length: string | undefined;
  /** Transfer codings, lower-cased, empty list elements dropped (RFC 9110 5.6.1.2). */
  codings: string[];
  /** `Connection: upgrade` together with `Upgrade: websocket`. */
  websocket: boolean;
  expectsContinue: boolean;
  idempotencyKey: boolean;
  origin: string | undefined;
  ray: string | undefined;
  via: string[];
  forwardedFor: string[];
  forwardedProto: string | undefined;
  /** All of them, in one list. */
  forwardedHost: string | undefined;
  /** Is there any field by which a front says who the client is? A page cannot set one on a WebSocket. */
  forwarded: boolean;
  /** The other fields of front-fields.ts, which only a trusted peer may set. */
  claims: string[];
  trailer: string | undefined;
  /** `TE: trailers`: the client takes the trailers of an answer (RFC 9110 10.1.4). */
  takesTrailers: boolean;
  /** Max-Forwards as sent; repeated ones in one list. */
  maxForwards: string | undefined;
}

/**
 * Reads a request's fields once. Framing and forwarding fields are taken out of `fields` and written anew by
 * `toUpstream`, so a client cannot delete them by naming them in Connection (RFC 9110 7.6.1).
 */
export function readRequestHead(raw: readonly string[]): RequestHead {
  const head: RequestHead = {
    fields: [],
    hosts: [],
    authority: undefined,
    length: undefined,
    codings: [],
    websocket: false,
    expectsContinue: false,
    idempotencyKey: false,
    origin: undefined,
    ray: undefined,
    via: [],
    forwardedFor: [],
    forwardedProto: undefined,
    forwardedHost: undefined,
    forwarded: false,
    claims: [],
    trailer: undefined,
    takesTrailers: false,
    maxForwards: undefined,
  };
  const { fields } = head;
  let nominated: Set<string> | undefined;
  let options: string[];
  let connectionUpgrade = false;
  let upgradeWebSocket = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    const lower = name.toLowerCase();
    switch (lower) {
      case "connection":
        options = tokens(value);
        nominated = nominate(nominated, options);
        connectionUpgrade ||= options.includes("upgrade");
        continue;
      case "upgrade":
        upgradeWebSocket ||= tokens(value).includes("websocket");
        continue;
      // Meant for this hop only: RFC 9110 7.6.1, and Proxy-Connection, which it tells us to treat alike.
      case "keep-alive":
      case "proxy-connection":
      case "http2-settings":
      // Credentials for a proxy are for this one, and it asks for none (RFC 9110 11.7.2).
      case "proxy-authorization":
      case "proxy-authenticate":
        continue;
      case "te":
        head.takesTrailers ||= tokens(value).includes("trailers");
        continue;
      case "transfer-encoding":
        // Not spread: a list may have more elements than a call can have arguments.
        for (const coding of codingsOf(value)) head.codings.push(coding);
        continue;
      case "content-length":
        head.length = value;
        continue;
      case "trailer":
        head.trailer = head.trailer === undefined ? value : `${head.trailer}, ${value}`;
        continue;
      case "host":
        head.hosts.push(value);
        fields.push(name, value);
        continue;
      case "via":
        head.via.push(value);
        continue;
      case "x-forwarded-for":
        head.forwardedFor.push(value);
        continue;
      case "x-forwarded-proto":
        head.forwardedProto ??= value;
        continue;
      case "x-forwarded-host":
        head.forwardedHost = head.forwardedHost === undefined ? value : `${head.forwardedHost}, ${value}`;
        continue;
      case "origin":
        head.origin = value;
        break;
      case "expect":
        head.expectsContinue ||= value.toLowerCase() === "100-continue";
        break;
      case "max-forwards":
        head.maxForwards = head.maxForwards === undefined ? value : `${head.maxForwards}, ${value}`;
        break;
      case "idempotency-key":
        head.idempotencyKey = true;
        break;
      default:
        if (isDisguised(lower)) continue;
        if (isFrontField(lower)) {
          if (lower === "cf-ray") head.ray = value;
          head.claims.push(name, value);
          continue;
        }
    }
    fields.push(name, value);
  }
  head.forwarded =
    head.forwardedFor.length + head.claims.length > 0 ||
    head.forwardedProto !== undefined ||
    head.forwardedHost !== undefined;
  head.websocket = connectionUpgrade && upgradeWebSocket;
  if (nominated) {
    // Host decides where a request belongs, like the framing: it is not the client's to delete.
    nominated.delete("host");
    dropNominated(fields, nominated);
  }
  return head;
}

/** Who sent the request to us. */
export interface Peer {
  address: string;
  trusted: boolean;
}

/** An address is shorter; what a front passes on from a client may not be. */
const MAX_ADDRESS = 64;

/**
 * Who the client is, for people: the address that the front vouches for (`CF-Connecting-IP`, else the last hop of
 * `X-Forwarded-For`), or the peer's own, where that is no trusted front. Empty for a unix socket without a front.
 */
export function clientOf(head: RequestHead, peer: Peer): string {
  if (!peer.trusted) return peer.address;
  let vouched: string | undefined;
  // Only Cloudflare's requests have it, and those have a ray.
  if (head.ray !== undefined) {
    const at = head.claims.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === "cf-connecting-ip");
    if (at >= 0) vouched = head.claims[at + 1];
  }
  vouched ??= head.forwardedFor.at(-1)?.split(",").at(-1);
  return ows(vouched ?? "").slice(0, MAX_ADDRESS) || peer.address;
}

/** The pseudonym in `Via`; `instance` tells two proxies of a chain apart in a comment (RFC 9110 7.6.3). */
export function viaOf(instance: string): string {
  return `1.1 single-port (${instance})`;
}

/** Has the request passed through the instance that writes `via` before? */
export function isLoop(head: RequestHead, via: string): boolean {
  return head.via.some((value) => value.includes(via));
}

/** Writes a field anew, where the client wrote it or in front. */
function setField(fields: string[], name: string, value: string): void {
  const lower = name.toLowerCase();
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() !== lower) continue;
    fields[i + 1] = value;
    return;
  }
  fields.unshift(name, value);
}

/** More than any chain has, and exact as a number. */
const MAX_FORWARDS = 1_000_000;

/**
 * How often a request may still be passed on: a limit that OPTIONS and TRACE have only (RFC 9110 7.6.2).
 *
 * @returns undefined without a limit, NaN when it is no number.
 */
export function hopsLeft(method: string, { maxForwards }: Pick<RequestHead, "maxForwards">): number | undefined {
  if (maxForwards === undefined || (method !== "OPTIONS" && method !== "TRACE")) return undefined;
  return /^\d+$/.test(maxForwards) ? Math.min(Number(maxForwards), MAX_FORWARDS) : Number.NaN;
}

/**
 * The head to send upstream. Framing comes last and is written anew for every method that has a body (RFC 9112 11.2).
 *
 * @param line method and request target, as they are sent.
 * @param upgrade ask for a WebSocket; a request that may not be upgraded goes up without the wish.
 */
export function toUpstream(
  head: RequestHead,
  { method, path }: { method: string; path: string },
  peer: Peer,
  via: string,
  upgrade: boolean,
): string {
  const host = head.authority ?? head.hosts[0];
  if (head.authority !== undefined) setField(head.fields, "Host", head.authority);
  const hops = hopsLeft(method, head);
  if (hops !== undefined) setField(head.fields, "Max-Forwards", String(hops - 1));
  let text = `${method} ${path} HTTP/1.1\r\n${linesOf(head.fields)}`;
  // An HTTP/1.0 client may leave it out (health checks do); we speak 1.1 to the upstream, which must not.
  if (host === undefined) text += "Host: localhost\r\n";
  const peers = peer.trusted ? head.forwardedFor.filter((one) => ows(one) !== "") : [];
  if (peer.address !== "") peers.push(peer.address);
  if (peers.length > 0) text += `X-Forwarded-For: ${peers.join(", ")}\r\n`;
  text += `X-Forwarded-Proto: ${(peer.trusted && head.forwardedProto) || "http"}\r\n`;
  const forwardedHost = (peer.trusted && head.forwardedHost) || host;
  if (forwardedHost) text += `X-Forwarded-Host: ${forwardedHost}\r\n`;
  if (peer.trusted) text += linesOf(head.claims);
  text += `Via: ${head.via.length > 0 ? `${head.via.join(", ")}, ${via}` : via}\r\n`;
  if (upgrade) return `${text}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  if (head.codings.length > 0) {
    if (head.trailer !== undefined) text += `Trailer: ${head.trailer}\r\n`;
    text += "Transfer-Encoding: chunked\r\n";
  } else if (head.length !== undefined) text += `Content-Length: ${head.length}\r\n`;
  // Said for methods that usually have one (RFC 9110 8.6).
  else if (!/^(GET|HEAD|DELETE|OPTIONS|TRACE)$/.test(method)) text += "Content-Length: 0\r\n";
  // TE is for this hop, so that Connection has to name it (RFC 9110 10.1.4).
  if (head.takesTrailers) return `${text}TE: trailers\r\nConnection: keep-alive, TE\r\n\r\n`;
  return `${text}Connection: keep-alive\r\n\r\n`;
}

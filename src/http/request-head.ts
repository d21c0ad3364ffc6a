// Reads a request's head: which fields pass, which are rewritten, which are dropped (RFC 9110 7.6). Called by
// proxy/gate.ts; upstream-head.ts writes from it the head that goes to the upstream. Pure.

import { codingsOf, dropNominated, nominate, ows, tokens } from "./fields.ts";
import { isDisguised, isFrontField } from "./front-fields.ts";

/** A request's fields, sorted. */
export interface RequestHead {
  /** End-to-end fields as sent, without those that `toUpstream()` rewrites. */
  fields: string[];
  hosts: string[];
  /** The authority of an absolute-form target, which replaces Host; undefined for the other forms. */
  authority: string | undefined;
  /** Content-Length as sent; undefined when absent. Node's parser has refused malformed and repeated ones. */
  length: string | undefined;
  /** Transfer codings, lower-cased, empty list elements dropped (RFC 9110 5.6.1.2). */
  codings: string[];
  /** `Connection: upgrade` together with `Upgrade: websocket`. */
  websocket: boolean;
  expectsContinue: boolean;
  idempotencyKey: boolean;
  origin: string | undefined;
  ray: string | undefined;
  /** The elements of Via, whichever of its two names they came under (`QUIET_VIA` of upstream-head.ts). */
  via: string[];
  forwardedFor: string[];
  forwardedProto: string | undefined;
  /** All X-Forwarded-Host fields, joined by commas. */
  forwardedHost: string | undefined;
  /** Is there any field that only fronts set? A page cannot set one on a WebSocket. */
  forwarded: boolean;
  /** The other fields of front-fields.ts, as [name, value, ...]. Passed on from trusted peers only. */
  claims: string[];
  trailer: string | undefined;
  /** `TE: trailers`: the client takes the trailers of an answer (RFC 9110 10.1.4). */
  takesTrailers: boolean;
  /** Max-Forwards as sent; repeated ones joined by commas. */
  maxForwards: string | undefined;
}

/**
 * Reads a request's fields in one pass. Framing and forwarding fields are left out of `fields` and rewritten by
 * `toUpstream()`, so that a client cannot delete them by naming them in Connection (RFC 9110 7.6.1).
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
      // Hop-by-hop fields; RFC 9110 7.6.1 has proxies treat Proxy-Connection as one, too.
      case "keep-alive":
      case "proxy-connection":
      case "http2-settings":
      // Credentials for the next proxy, which is this one; it never asks for any (RFC 9110 11.7.2).
      case "proxy-authorization":
      case "proxy-authenticate":
        continue;
      case "te":
        head.takesTrailers ||= tokens(value).includes("trailers");
        continue;
      case "transfer-encoding":
        // Not push(...list): a list may have more elements than a call can have arguments.
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
      case "x-single-port-via":
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
    // A client must not delete Host by naming it in Connection: Host decides where the request belongs.
    nominated.delete("host");
    dropNominated(fields, nominated);
  }
  return head;
}

/** The peer that sent the request: a front, or the client itself. */
export interface Peer {
  address: string;
  trusted: boolean;
}

/** Longer than any address. A front may pass on any text that a client wrote, so it is cut here. */
const MAX_ADDRESS = 64;

/**
 * The client's address, for logs: as a trusted front states it (`CF-Connecting-IP`, else the last hop of
 * `X-Forwarded-For`), else the peer's own address. Empty on a unix socket without those fields.
 */
export function clientOf(head: RequestHead, peer: Peer): string {
  if (!peer.trusted) return peer.address;
  let vouched: string | undefined;
  // CF-Connecting-IP is believed only with a CF-Ray, which all of Cloudflare's requests have.
  if (head.ray !== undefined) {
    const at = head.claims.findIndex((text, i) => i % 2 === 0 && text.toLowerCase() === "cf-connecting-ip");
    if (at >= 0) vouched = head.claims[at + 1];
  }
  vouched ??= head.forwardedFor.at(-1)?.split(",").at(-1);
  return ows(vouched ?? "").slice(0, MAX_ADDRESS) || peer.address;
}

/**
 * This proxy's entry in `Via`. The comment with `instance` tells two single-ports in a chain apart (RFC 9110 7.6.3).
 */
export function viaOf(instance: string): string {
  return `1.1 single-port (${instance})`;
}

/** Has the request passed through the instance that writes `via` before? */
export function isLoop(head: RequestHead, via: string): boolean {
  return head.via.some((value) => value.includes(via));
}

/** A limit above the length of any chain of proxies, and exact as a number. */
const MAX_FORWARDS = 1_000_000;

/**
 * Max-Forwards as a number: how often the request may still be forwarded. Only OPTIONS and TRACE have that limit
 * (RFC 9110 7.6.2).
 *
 * @returns undefined without a limit, NaN when the field is no number.
 */
export function hopsLeft(method: string, { maxForwards }: Pick<RequestHead, "maxForwards">): number | undefined {
  if (maxForwards === undefined || (method !== "OPTIONS" && method !== "TRACE")) return undefined;
  return /^\d+$/.test(maxForwards) ? Math.min(Number(maxForwards), MAX_FORWARDS) : Number.NaN;
}

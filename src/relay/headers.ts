// Which header fields pass, which are written anew, and which are the proxy's own (SPEC 3.1, RFC 9110 7.6).
// Called by the router for facts and by the relay for what goes out; pure. Fields are kept as node's raw arrays
// [name, value, name, value, ...], so order, case, duplicates and a field named __proto__ survive.

/** What one pass over a request's fields finds out. */
export interface RequestHead {
  /** End-to-end fields as sent, without those this file writes anew. */
  fields: string[];
  hosts: string[];
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
  forwardedHost: string | undefined;
  /** Other fields that only a trusted peer may set: Forwarded, X-Real-IP, X-Forwarded-*, CF-*. */
  claims: string[];
  trailer: string | undefined;
}

/** Splits a comma-separated list into lower-case elements, without the empty ones. */
function tokens(value: string): string[] {
  return value
    .toLowerCase()
    .split(",")
    .map((token) => token.trim())
    .filter((token) => token !== "");
}

/** The codings of a Transfer-Encoding field. One that names none counts as an unknown one: peers read it differently. */
function codingsOf(value: string): string[] {
  const codings = tokens(value);
  return codings.length > 0 ? codings : [""];
}

/** Removes the fields that a Connection field names. `fields` is changed in place. */
function dropNominated(fields: string[], nominated: Set<string>): void {
  let kept = 0;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (nominated.has(name.toLowerCase())) continue;
    fields[kept] = name;
    fields[kept + 1] = fields[i + 1] ?? "";
    kept += 2;
  }
  fields.length = kept;
}

// Connection options that are not field names, or fields that are dropped anyway.
const HARMLESS = new Set(["keep-alive", "close", "upgrade", "te", "http2-settings", "proxy-connection"]);

/** Adds the elements of a Connection field that could name an end-to-end field. */
function nominate(nominated: Set<string> | undefined, value: string): Set<string> | undefined {
  for (const token of tokens(value)) {
    if (HARMLESS.has(token)) continue;
    nominated ??= new Set();
    nominated.add(token);
  }
  return nominated;
}

/**
 * Reads a request's fields once. Framing and forwarding fields are taken out of `fields` and written anew by
 * `toUpstream`, so a client cannot delete them by naming them in Connection (appendix A, 3).
 */
export function readRequestHead(raw: readonly string[]): RequestHead {
  const head: RequestHead = {
    fields: [],
    hosts: [],
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
    claims: [],
    trailer: undefined,
  };
  const { fields } = head;
  let nominated: Set<string> | undefined;
  let connectionUpgrade = false;
  let upgradeWebSocket = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    const lower = name.toLowerCase();
    switch (lower) {
      case "connection":
        nominated = nominate(nominated, value);
        connectionUpgrade ||= tokens(value).includes("upgrade");
        continue;
      case "upgrade":
        upgradeWebSocket ||= tokens(value).includes("websocket");
        continue;
      // Meant for this hop only: RFC 9110 7.6.1, and Proxy-Connection, which it tells us to treat alike.
      case "keep-alive":
      case "proxy-connection":
      case "te":
      case "http2-settings":
      // Credentials for a proxy are for this one, and it asks for none (RFC 9110 11.7.2).
      case "proxy-authorization":
      case "proxy-authenticate":
        continue;
      case "transfer-encoding":
        head.codings.push(...codingsOf(value));
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
        head.forwardedHost ??= value;
        continue;
      case "origin":
        head.origin = value;
        break;
      case "expect":
        head.expectsContinue ||= value.toLowerCase() === "100-continue";
        break;
      case "idempotency-key":
        head.idempotencyKey = true;
        break;
      default:
        if (isClaim(lower)) {
          if (lower === "cf-ray") head.ray = value;
          head.claims.push(name, value);
          continue;
        }
    }
    fields.push(name, value);
  }
  head.websocket = connectionUpgrade && upgradeWebSocket;
  if (nominated) {
    // Host decides where a request belongs, like the framing: it is not the client's to delete.
    nominated.delete("host");
    dropNominated(fields, nominated);
  }
  return head;
}

/** Fields by which a front says who the client is. From anyone else they are a lie (SPEC 3.1). */
function isClaim(lower: string): boolean {
  return (
    lower.startsWith("cf-") ||
    lower.startsWith("x-forwarded-") ||
    lower === "forwarded" ||
    lower === "x-real-ip" ||
    lower === "true-client-ip"
  );
}

/** Who sent the request to us. */
export interface Peer {
  address: string;
  trusted: boolean;
}

/** The pseudonym in `Via`; `instance` tells two proxies of a chain apart in a comment (RFC 9110 7.6.3). */
export function viaOf(instance: string): string {
  return `1.1 single-port (${instance})`;
}

/** Has the request passed through the instance that writes `via` before? */
export function isLoop(head: RequestHead, via: string): boolean {
  return head.via.some((value) => value.includes(via));
}

/**
 * The fields to send upstream. Framing comes last and is written anew for every method that has a body: node
 * would not chunk GET, HEAD, DELETE, OPTIONS or TRACE by itself (appendix A, 1), and it re-encodes a
 * Content-Disposition that stands behind a Content-Length.
 *
 * @param upgrade ask for a WebSocket; a request that may not be upgraded goes up without the wish.
 * @param method decides whether an absent body has to be said: node frames a bare POST as chunked otherwise.
 */
export function toUpstream(head: RequestHead, method: string, peer: Peer, via: string, upgrade: boolean): string[] {
  const out = head.fields.slice();
  const host = head.hosts[0];
  // An HTTP/1.0 client may leave it out (health checks do); we speak 1.1 to the upstream, which must not.
  if (host === undefined) out.push("Host", "localhost");
  const hops = peer.trusted ? head.forwardedFor.filter((hop) => hop.trim() !== "") : [];
  if (peer.address !== "") hops.push(peer.address);
  if (hops.length > 0) out.push("X-Forwarded-For", hops.join(", "));
  out.push("X-Forwarded-Proto", (peer.trusted && head.forwardedProto) || "http");
  const forwardedHost = (peer.trusted && head.forwardedHost) || host;
  if (forwardedHost) out.push("X-Forwarded-Host", forwardedHost);
  if (peer.trusted) out.push(...head.claims);
  out.push("Via", [...head.via, via].join(", "));
  if (upgrade) out.push("Connection", "Upgrade", "Upgrade", "websocket");
  else if (head.codings.length > 0) {
    if (head.trailer !== undefined) out.push("Trailer", head.trailer);
    out.push("Transfer-Encoding", "chunked");
  } else if (head.length !== undefined) out.push("Content-Length", head.length);
  else if (!/^(GET|HEAD|DELETE|OPTIONS|TRACE)$/.test(method)) out.push("Content-Length", "0");
  return out;
}

/** What one pass over a response's fields finds out. */
export interface ResponseHead {
  /** What goes to the client, framing included. */
  fields: string[];
  /** False when the framing is one nobody can relay: an unknown or doubled transfer coding (appendix A, 12). */
  wellFramed: boolean;
  /** Is the body framed by chunks, by a length, or by the end of the connection? */
  framing: "chunked" | "length" | "close";
  eventStream: boolean;
  /** `Keep-Alive: timeout` in milliseconds: how long the upstream keeps an idle connection (SPEC 3.4). */
  keepAliveMs: number | undefined;
}

/**
 * Reads a response's fields once and writes what the client gets.
 *
 * @param chunkable does the client understand chunks (HTTP/1.1)? An older one gets the body up to the close.
 * @param bodiless HEAD, 204 and 304: no body follows, whatever the fields say (RFC 9112 6.3).
 */
export function toClient(raw: readonly string[], status: number, chunkable: boolean, bodiless: boolean): ResponseHead {
  const fields: string[] = [];
  const codings: string[] = [];
  const head: ResponseHead = { fields, wellFramed: true, framing: "close", eventStream: false, keepAliveMs: undefined };
  let nominated: Set<string> | undefined;
  let length: string | undefined;
  let trailer: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    switch (name.toLowerCase()) {
      case "connection":
        nominated = nominate(nominated, value);
        continue;
      case "keep-alive": {
        const seconds = /(?:^|[,;\s])timeout\s*=\s*"?(\d+)/i.exec(value)?.[1];
        if (seconds !== undefined) head.keepAliveMs = Number(seconds) * 1000;
        continue;
      }
      case "proxy-connection":
      case "te":
      case "upgrade":
      case "proxy-authenticate":
      case "proxy-authorization":
        continue;
      case "transfer-encoding":
        codings.push(...codingsOf(value));
        continue;
      case "content-length":
        length = value;
        continue;
      case "trailer":
        trailer = trailer === undefined ? value : `${trailer}, ${value}`;
        continue;
      case "content-type":
        head.eventStream = /^\s*text\/event-stream\s*(;|$)/i.test(value);
        break;
    }
    fields.push(name, value);
  }
  if (nominated) dropNominated(fields, nominated);
  head.wellFramed = codings.length === 0 || (codings.length === 1 && codings[0] === "chunked");
  if (codings.length > 0) {
    head.framing = "chunked";
    if (chunkable && !bodiless) {
      if (trailer !== undefined) fields.push("Trailer", trailer);
      fields.push("Transfer-Encoding", "chunked");
    }
  } else if (length !== undefined) {
    head.framing = "length";
    // A 204 must not carry one (RFC 9110 8.6); on HEAD and 304 it describes the body that is not there.
    if (status !== 204) fields.push("Content-Length", length);
  }
  return head;
}

// Fields that must not arrive after the body, because they decide how a message is read (RFC 9110 6.5.1).
const NOT_IN_TRAILERS =
  /^(content-length|content-encoding|content-type|content-range|transfer-encoding|host|connection|keep-alive|te|trailer|upgrade|via|authorization|cookie|set-cookie|proxy-.*|forwarded|x-forwarded-.*|x-real-ip|cf-.*|expect|max-forwards|cache-control)$/i;

/** The trailer fields that may be passed on, as the pairs `addTrailers` takes. */
export function passTrailers(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!NOT_IN_TRAILERS.test(name)) pairs.push([name, raw[i + 1] ?? ""]);
  }
  return pairs;
}

/** The head of a relayed 1xx, ready to be written to a socket (RFC 9110 15.2). */
export function interimHead(status: number, reason: string, raw: readonly string[]): string {
  let head = `HTTP/1.1 ${status} ${reason.replaceAll(/[^\t\x20-\x7e]/g, "")}\r\n`;
  const { fields } = toClient(raw, 204, true, true);
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return `${head}\r\n`;
}

/** The head of the 101 that opens a tunnel: everything the upstream said, with the upgrade named again. */
export function switchingHead(raw: readonly string[]): string {
  let head = "HTTP/1.1 101 Switching Protocols\r\n";
  const { fields } = toClient(raw, 204, true, true);
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return `${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
}

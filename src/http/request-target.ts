// The request target: which of its four forms it has, and what is asked for (RFC 9112 3.2). Called by gate.ts; pure.

/** What a request asks for. */
export interface RequestTarget {
  /** Path and query, byte for byte: not decoded, not normalised. `*` asks about the server as a whole. */
  path: string;
  /** The authority of an absolute-form target: it replaces what Host says (RFC 9112 3.2.2). Not checked here. */
  authority: string | undefined;
}

const SLASH = 47;
// TLS may have ended at a front, so that `https` is what the client asked for. `[^]` takes the path as it is.
const ABSOLUTE = /^https?:\/\/([^/?]*)([^]*)$/i;

/**
 * Reads a request target.
 *
 * @returns undefined for nonsense: no form of RFC 9112 3.2, another scheme, an asterisk that is not alone or not for
 * OPTIONS, a fragment (which is never sent, 3.2.1), and the authority-form, which is for CONNECT.
 */
export function readTarget(method: string, text: string): RequestTarget | undefined {
  if (text.includes("#")) return undefined;
  if (text.charCodeAt(0) === SLASH) return { path: text, authority: undefined };
  if (text === "*") return method === "OPTIONS" ? { path: text, authority: undefined } : undefined;
  const [, authority, rest = ""] = ABSOLUTE.exec(text) ?? [];
  if (authority === undefined) return undefined;
  // Without path and query it asks about the whole server, and the origin is asked for `*` (RFC 9112 3.2.4).
  if (rest === "") return { path: method === "OPTIONS" ? "*" : "/", authority };
  return { path: rest.startsWith("/") ? rest : `/${rest}`, authority };
}

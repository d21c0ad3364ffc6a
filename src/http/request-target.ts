// Reads the request target: which of the four forms it has, and which path and authority it names (RFC 9112 3.2).
// Called by proxy/gate.ts; pure.

/** A request target, taken apart. */
export interface RequestTarget {
  /** Path and query, byte for byte: not decoded, not normalised. `*` asks about the server as a whole. */
  path: string;
  /** The authority of an absolute-form target, which replaces Host (RFC 9112 3.2.2). Checked by front/router.ts. */
  authority: string | undefined;
}

const SLASH = 47;
// `https` is accepted because TLS may have ended at a front. `[^]` matches any character, line ends included.
const ABSOLUTE = /^https?:\/\/([^/?]*)([^]*)$/i;

/**
 * Reads a request target.
 *
 * @returns undefined for a target to refuse: none of the forms, another scheme, an asterisk that is not alone or not
 * for OPTIONS, a fragment (which is never sent, 3.2.1), and the authority-form, which is for CONNECT.
 */
export function readTarget(method: string, text: string): RequestTarget | undefined {
  if (text.includes("#")) return undefined;
  if (text.charCodeAt(0) === SLASH) return { path: text, authority: undefined };
  if (text === "*") return method === "OPTIONS" ? { path: text, authority: undefined } : undefined;
  const [, authority, rest = ""] = ABSOLUTE.exec(text) ?? [];
  if (authority === undefined) return undefined;
  // OPTIONS with neither path nor query asks about the whole server: the upstream gets `*` (RFC 9112 3.2.4).
  if (rest === "") return { path: method === "OPTIONS" ? "*" : "/", authority };
  return { path: rest.startsWith("/") ? rest : `/${rest}`, authority };
}

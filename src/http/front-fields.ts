// The table of fields that only a front (a trusted reverse proxy) may set: who the client is, what it asked for, and
// who has logged in. An upstream would believe them from any client. Used for heads and trailers; pure.

/** Whole names, lower-cased. */
const NAMES = new Set(
  [
    // Who the client is: the standard, proxies, CDNs, clouds.
    ["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr", "remote-addr"],
    ["client-ip", "x-originating-ip", "x-proxyuser-ip", "proxy-client-ip", "wl-proxy-client-ip", "x-coming-from"],
    ["true-client-ip", "x-true-client-ip", "do-connecting-ip", "fly-client-ip", "x-nf-client-connection-ip"],
    ["ali-cdn-real-ip", "cdn-src-ip", "incap-client-ip", "x-sucuri-clientip", "x-appengine-user-ip", "x-client-port"],
    ["x-envoy-external-address", "x-azure-clientip", "x-azure-socketip", "x-real-port", "x-real-host"],
    // Scheme, host and path that the client asked for.
    ["x-rewrite-url", "x-host", "x-http-host-override", "x-scheme", "x-url-scheme", "front-end-https", "x-arr-ssl"],
    // The user whom the front has authenticated.
    ["remote-user", "remote-name", "remote-email", "remote-groups", "x-remote-user", "x-remote-groups"],
    ["x-webauth-user", "x-client-cert", "x-arr-clientcert", "x-amzn-oidc-data", "x-amzn-oidc-identity"],
    ["x-amzn-oidc-accesstoken", "x-goog-iap-jwt-assertion", "x-pomerium-jwt-assertion"],
  ].flat(),
);
/** Prefixes of such names. */
const FAMILIES = [
  ["x-forwarded", "cf-", "fastly-", "x-original-", "fly-forwarded-", "ssl-client-", "x-ssl-client-"],
  ["tailscale-user-", "x-auth-request-", "x-authentik-", "x-goog-authenticated-user-", "x-ms-client-principal"],
  ["x-pomerium-claim-"],
].flat();
const FAMILY = new RegExp(`^(?:${FAMILIES.join("|")})`);

/** May only a front set the field of this (lower-cased) name? */
export function isFrontField(lower: string): boolean {
  return NAMES.has(lower) || FAMILY.test(lower);
}

// Fields that this proxy removes or rewrites: hop-by-hop, framing and routing fields.
const OURS = new Set(
  [
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"],
    ["proxy-authorization", "proxy-authenticate", "content-length", "host", "via", "expect", "max-forwards", "origin"],
    ["x-single-port-via"],
  ].flat(),
);

/**
 * Is this another spelling of a field that only a front, or this proxy, may set? CGI, WSGI and PHP read
 * `X_Forwarded_For` (some of them any punctuation) as `X-Forwarded-For`, and either may win. Proxies write hyphens, so
 * such a name was written by the client: it is dropped, even from a trusted peer.
 */
export function isDisguised(lower: string): boolean {
  if (!/[^a-z0-9-]/.test(lower)) return false;
  const name = lower.replaceAll(/[^a-z0-9]/g, "-");
  return isFrontField(name) || OURS.has(name);
}

// What only a front may say: who the client is, what it asked for, and whether it has logged in. From any other peer it
// is a lie that the upstream would believe. One table for heads and trailers; pure.

/** Whole names, lower-cased. */
const NAMES = new Set(
  [
    // Who the client is: the standard, proxies, CDNs, clouds.
    ["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr", "remote-addr"],
    ["client-ip", "x-originating-ip", "x-proxyuser-ip", "proxy-client-ip", "wl-proxy-client-ip", "x-coming-from"],
    ["true-client-ip", "x-true-client-ip", "do-connecting-ip", "fly-client-ip", "x-nf-client-connection-ip"],
    ["ali-cdn-real-ip", "cdn-src-ip", "incap-client-ip", "x-sucuri-clientip", "x-appengine-user-ip", "x-client-port"],
    ["x-envoy-external-address", "x-azure-clientip", "x-azure-socketip", "x-real-port", "x-real-host"],
    // How, and for which address, it asked.
    ["x-rewrite-url", "x-host", "x-http-host-override", "x-scheme", "x-url-scheme", "front-end-https", "x-arr-ssl"],
    // Whom the front has let in.
    ["remote-user", "remote-name", "remote-email", "remote-groups", "x-remote-user", "x-remote-groups"],
    ["x-webauth-user", "x-client-cert", "x-arr-clientcert", "x-amzn-oidc-data", "x-amzn-oidc-identity"],
    ["x-amzn-oidc-accesstoken", "x-goog-iap-jwt-assertion", "x-pomerium-jwt-assertion"],
  ].flat(),
);
/** How such names begin. */
const FAMILIES = [
  ["x-forwarded", "cf-", "fastly-", "x-original-", "fly-forwarded-", "ssl-client-", "x-ssl-client-"],
  ["tailscale-user-", "x-auth-request-", "x-authentik-", "x-goog-authenticated-user-", "x-ms-client-principal"],
  ["x-pomerium-claim-"],
].flat();
const FAMILY = new RegExp(`^(?:${FAMILIES.join("|")})`);

/** Is a field of this name, lower-cased, for a front to set? */
export function isFrontField(lower: string): boolean {
  return NAMES.has(lower) || FAMILY.test(lower);
}

// Fields that this proxy takes out or writes anew, and those that decide how a message is read and where it belongs.
const OURS = new Set(
  [
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"],
    ["proxy-authorization", "proxy-authenticate", "content-length", "host", "via", "expect", "max-forwards", "origin"],
  ].flat(),
);

/**
 * Is this another spelling of a field that is for a front, or for us, to set? CGI, WSGI and PHP read `X_Forwarded_For`
 * (some of them any sign) as `X-Forwarded-For`, and let either win. Proxies write hyphens, so such a name is always the
 * client's, and is passed on for nobody.
 */
export function isDisguised(lower: string): boolean {
  if (!/[^a-z0-9-]/.test(lower)) return false;
  const name = lower.replaceAll(/[^a-z0-9]/g, "-");
  return isFrontField(name) || OURS.has(name);
}

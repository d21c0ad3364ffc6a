// Clients of event streams, which no status but 200 brings back (HTML, "server-sent events", 9.2.3): a browser's
// EventSource ends for good on any other, and comes again by itself after a 200 that ends. Pure; asked by exchange.ts
// and front/refuse.ts.

import type { IncomingMessage } from "node:http";

/** How long such a client waits before it asks again; in milliseconds. */
const RETRY_MS = 1000;

/** Does this client take nothing but an event stream? A page or a tool that can also read something else is told by a status. */
export function acceptsOnlyEvents({ method, headers }: Pick<IncomingMessage, "method" | "headers">): boolean {
  return method === "GET" && /^\s*text\/event-stream\s*(;[^,]*)?$/i.test(headers.accept ?? "");
}

/** The body of a stream that ends at once: when to come again, and a comment that says why. */
export function refusedStream(code: string, message: string): string {
  return `retry: ${RETRY_MS}\n: ${code}: ${message}\n\n`;
}

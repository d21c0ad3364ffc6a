// Refusals for a browser's EventSource: it gives up for good on any status but 200, and reconnects by itself after a
// 200 that ends (HTML, "server-sent events", 9.2.3). So it gets its errors as a 200. Pure; used by exchange and front.

import type { IncomingMessage } from "node:http";

/** How long the EventSource waits before it reconnects, in milliseconds. */
const RETRY_MS = 1000;

/** Does the client accept an event stream and nothing else? Any other client can read a status. */
export function acceptsOnlyEvents({ method, headers }: Pick<IncomingMessage, "method" | "headers">): boolean {
  return method === "GET" && /^\s*text\/event-stream\s*(;[^,]*)?$/i.test(headers.accept ?? "");
}

/** The body of an event stream that ends at once: when to reconnect, and a comment with the error. */
export function refusedStream(code: string, message: string): string {
  return `retry: ${RETRY_MS}\n: ${code}: ${message}\n\n`;
}

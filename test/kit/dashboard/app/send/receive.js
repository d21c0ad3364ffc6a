// The server action of the dashboard: a file arrives at it.

"use server";

import { createHash } from "node:crypto";

/** Says how much came, and its hash. */
export async function receive(_said, form) {
  const bytes = Buffer.from(await form.get("file").arrayBuffer());
  return `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}`;
}

// POST /upload: says how many bytes came, and their hash.

import { createHash } from "node:crypto";

export const dynamic = "force-dynamic";

/** Says how much came, and its hash. */
export async function POST(request) {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of request.body) {
    hash.update(chunk);
    size += chunk.length;
  }
  return Response.json({ size, hash: hash.digest("hex") });
}

// A client of an event stream (or of any endless response), which records the bytes and how the stream ended.

import { request } from "node:http";
import { onTestFinished } from "vitest";
import { until } from "./until.ts";

/** An open stream. */
export interface Stream {
  text(): string;
  /** Resolves once the stream has ended; `cut` means in the middle of its chunks. */
  ended: Promise<"complete" | "cut">;
}

/** Opens a stream; resolves when its first bytes have come. */
export async function openStream(port: number, path = "/events"): Promise<Stream> {
  let text = "";
  const req = request({ port, host: "127.0.0.1", path, agent: false });
  onTestFinished(() => void req.destroy());
  const ended = new Promise<"complete" | "cut">((resolve) => {
    req.on("error", () => resolve("cut"));
    req.on("response", (res) => {
      res.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      res.on("error", () => resolve("cut"));
      res.on("end", () => resolve("complete"));
    });
  });
  req.end();
  await until(() => text !== "", "the first bytes of a stream");
  return { text: () => text, ended };
}

import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { startSinglePort } from "../../dist/index.js";

/** A server on a free port, until the test ends. */
async function listening(): Promise<{ port: number; close: () => Promise<unknown> }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): Promise<unknown> => new Promise((resolve) => server.close(resolve));
  onTestFinished(() => void close());
  return { port: (server.address() as AddressInfo).port, close };
}

test("a start that fails for its port lets go of the address of --admin", async () => {
  const [taken, admin] = [await listening(), await listening()];
  await admin.close();
  const options = {
    port: String(taken.port),
    http: "1",
    admin: String(admin.port),
    bindRetry: "0",
    logLevel: "silent",
  };
  await expect(startSinglePort(options)).rejects.toThrow("is held");
  const again = createServer().listen(admin.port, "127.0.0.1");
  await once(again, "listening");
  again.close();
});

// The server of electric's durable streams: argv is the port, and the folder of its data.

import { DurableStreamTestServer } from "@durable-streams/server";

const [port, dataDir] = process.argv.slice(2);
const options = { port: Number(port), host: "127.0.0.1", dataDir, longPollTimeout: 2000 };
const server = new DurableStreamTestServer(options);
await server.start();
// Ctrl-C: as gracefully as it can, which takes until nobody asks any more on a connection that stands.
process.once("SIGINT", () => void server.stop().then(() => process.exit(0)));

// Makes a server kill itself on its first request of /die, as moltworker 338 describes: in its next life it does not.

import { subscribe } from "node:diagnostics_channel";
import { existsSync, writeFileSync } from "node:fs";

const mark = process.env.SINGLE_PORT_TEST_DIED;
subscribe("http.server.request.start", ({ request }) => {
  if (request.url !== "/die" || existsSync(mark)) return;
  writeFileSync(mark, "");
  process.kill(process.pid, "SIGKILL");
});

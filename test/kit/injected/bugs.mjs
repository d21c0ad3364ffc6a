// Loaded into the daemon with --import: on SIGCONT it does what BUG says, as code of ours with a bug would.

import { Socket } from "node:net";

const bugs = {
  throws: () => {
    throw new TypeError("a bug of the test's");
  },
  rejects: () => void Promise.reject(new TypeError("a bug of the test's")),
  // Errors of sockets nobody listens to, each of its own kind and in a turn of its own.
  sockets: () => {
    for (let i = 0; i < 1000; i += 1) {
      const code = ["ECONNRESET", "EPIPE", "ETIMEDOUT"][i % 3];
      const error = Object.assign(new Error(`read ${code}`), { code, syscall: "read", errno: -104 });
      setImmediate(() => new Socket().destroy(error));
    }
  },
};
process.on("SIGCONT", bugs[process.env.BUG]);

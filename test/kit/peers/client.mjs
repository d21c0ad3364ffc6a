// A client in a process of its own, to be frozen. Argument: the URL.

import { WebSocket } from "ws";

const socket = new WebSocket(process.argv[2] ?? "");
socket.on("open", () => console.log("open 1"));
socket.on("error", () => {});
socket.on("close", (code) => {
  console.log(`close ${code}`);
  process.exit(0);
});

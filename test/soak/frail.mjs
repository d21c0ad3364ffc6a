// A mux that is killed, started again, frozen and thawed all the time: a process of its own on one port.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { randomOf } from "./random.mjs";

const SCRIPT = fileURLToPath(new URL("upstream.mjs", import.meta.url));
const FROZEN_MS = 5000;
const CALM_MS = 3000;

/** Starts it; its troubles begin with `begin`. @param {number} seed */
export async function startFrail(seed) {
  const random = randomOf(seed ^ 0x5eed);
  let port = 0;
  let child;
  const start = () =>
    new Promise((resolve) => {
      child = fork(SCRIPT, [String(port)]);
      child.once("message", (message) => {
        ({ port } = message);
        resolve(undefined);
      });
    });
  const kill = () =>
    new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill("SIGKILL");
    });
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const state = { stopping: false };
  let troubles = Promise.resolve();
  const trouble = async () => {
    while (!state.stopping) {
      await sleep(random() * CALM_MS);
      if (random() < 0.3) {
        child.kill("SIGSTOP");
        await sleep(random() * FROZEN_MS);
        child.kill("SIGCONT");
      } else {
        await kill();
        await sleep((random() * CALM_MS) / 3);
        await start();
      }
    }
  };
  await start();
  return {
    port,
    begin: () => void (troubles = trouble()),
    async stop() {
      state.stopping = true;
      await troubles;
      await kill();
    },
  };
}

// Closes a listener without a reset for whoever waits to be accepted, and where a successor serves the port, without a
// client noticing. Called by proxy.ts when it stops.
//
// The kernel resets what is in the accept queue of a listener that is closed (unless net.ipv4.tcp_migrate_req is set):
// clients that are connected, as far as they know. Accepting until the queue is empty and closing then still leaves a
// moment in between: at 200 connections a second one takeover in five lost one. So the queue is plugged before: it is
// made to hold one connection only, and that one is ours. Whoever comes meanwhile gets no answer to its SYN, sends it
// again, and meets the successor, or nobody. (The kernel's log may speak of a possible SYN flood then; there is none.)
// What this cannot save is a client so far away that its handshake is under way; the front of such a proxy is on this
// machine.

import { randomInt } from "node:crypto";
import { connect, type AddressInfo, type Server, type Socket } from "node:net";
import { cut, guard, reset } from "../core/sockets.ts";

/** Node's own backlog. */
const BACKLOG = 511;
/** Where it fails so often, the port is more likely to lead elsewhere than the queue to be taken each time. */
const TRIES_PER_PORT = 8;
/** Turns of the event loop after which a connection that stands would have been accepted here: one each, most at once. */
const TURNS_TO_ACCEPT = 10;

/** What of a server's handle is needed, which node's types leave out. */
interface Handle {
  listen(backlog: number): number;
}

/** What is known of the one that takes over, and how to close. */
export interface Retirement {
  /** The successor listens already (SO_REUSEPORT), and gets its share of the connections. */
  shared: boolean;
  /** Nobody serves after us. */
  alone: boolean;
  /** Stops listening, at once. */
  close: () => void;
  /** After that it is closed in any case. Nobody is worse off for waiting: until then it goes on accepting. */
  withinMs: number;
}

/** Closes a listener when no connection is in its queue. */
export async function retire(server: Server, { shared, alone, close, withinMs }: Retirement): Promise<void> {
  const handle = (server as Server & { _handle?: Partial<Handle> | null })._handle;
  const address = server.address();
  let accepted = 0;
  const count = (): void => void (accepted += 1);
  server.on("connection", count);
  if (process.platform === "linux" && handle?.listen && address && typeof address === "object") {
    const deadline = performance.now() + withinMs;
    const way = wayTo(address);
    const backlog = alone ? 0 : BACKLOG;
    // Clients that are told to close dial again at once: as long as all of them get in, the queue is never empty.
    if (alone) handle.listen(backlog);
    let localPort = shared ? undefined : 0;
    let tries = 0;
    while (server.listening && performance.now() < deadline) {
      const before = accepted;
      await nextTurn();
      // Whoever is on the way in while the queue is plugged waits for a second: only when it is likely to be empty.
      if (accepted > before) continue;
      if (localPort === undefined) localPort = await portThatLeadsTo(server, way, deadline);
      else if (await closePlugged(handle as Handle, { ...way, localPort }, { close, backlog })) break;
      else if (shared && (tries += 1) % TRIES_PER_PORT === 0) localPort = undefined;
    }
  }
  server.off("connection", count);
  if (!server.listening) return;
  await nextTurn();
  close();
}

/** Closes in the same turn of the event loop in which the plug is put in, so that nothing is accepted in between. */
async function closePlugged(
  handle: Handle,
  way: Way & { localPort: number },
  { close, backlog }: { close: () => void; backlog: number },
): Promise<boolean> {
  handle.listen(0);
  const plug = connect(way);
  guard(plug);
  // Node dials in the next tick, which is of the same turn; on this machine a handshake ends within that call.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const plugged = isConnected(plug);
  if (plugged) close();
  else handle.listen(backlog);
  cut(plug);
  return plugged;
}

/**
 * Of two listeners that share a port the kernel chooses by the four numbers of a connection. Finds a port to dial from
 * that leads to this one; undefined if the one that was tried leads to the other, or nowhere until `deadline`.
 */
async function portThatLeadsTo(server: Server, way: Way, deadline: number): Promise<number | undefined> {
  const accepted = new Set<number | undefined>();
  const onConnection = (socket: Socket): void => void accepted.add(socket.remotePort);
  server.on("connection", onConnection);
  const probe = connect(way);
  guard(probe);
  // Where the queue is full or a packet filter drops it, the kernel would try for two minutes.
  const tooLate = setTimeout(cut, deadline - performance.now(), probe);
  await new Promise((resolve) => probe.once("connect", resolve).once("close", resolve));
  clearTimeout(tooLate);
  const port = probe.localPort;
  for (let turn = 0; turn < TURNS_TO_ACCEPT && !accepted.has(port); turn += 1) await nextTurn();
  server.off("connection", onConnection);
  // By RST: after a FIN its port could not be used again.
  const closed = new Promise((resolve) => probe.once("close", resolve));
  if (!probe.closed) {
    reset(probe);
    await closed;
  }
  return port !== undefined && accepted.has(port) ? port : undefined;
}

interface Way {
  host: string;
  port: number;
  localAddress?: string;
}

/** How a listener is reached from this machine. */
function wayTo({ address, port }: AddressInfo): Way {
  if (!/^(127\.|0\.0\.0\.0$|::$)/.test(address)) return { host: address, port };
  // From an address of our own, so that nobody else has the port that was found.
  const own = `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
  return { host: address.startsWith("127.") ? address : "127.0.0.1", port, localAddress: own };
}

/** Asks the kernel: what node knows of it comes with the next turn of the event loop. */
function isConnected(socket: Socket): boolean {
  const handle = (socket as Socket & { _handle?: { getpeername?(out: object): number } | null })._handle;
  return handle?.getpeername?.({}) === 0;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

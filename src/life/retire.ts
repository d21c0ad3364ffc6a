// Closes the listener on shutdown without resetting clients in its accept queue; when a successor serves the port, no
// client notices. Called by proxy/proxy.ts.
//
// When a listener is closed, the kernel resets the connections in its accept queue (unless net.ipv4.tcp_migrate_req is
// set), although their clients are connected. Accepting until the queue is empty and then closing leaves a gap: at 200
// connections a second, one takeover in five lost a connection. So the queue is plugged first: its length is set to one
// connection, and this process dials that one itself. The kernel drops the SYN of a client that comes meanwhile; the
// client sends it again, and reaches the successor. (The kernel's log may report a possible SYN flood; there is none.)
// A client whose TCP handshake is under way in that moment can still be lost. On loopback a handshake is instant, and
// the front is usually on this machine.

import { connect, type AddressInfo, type Server, type Socket } from "node:net";
import { cut, guard, reset } from "../core/sockets.ts";

/** Node's own backlog. */
const BACKLOG = 511;
/** After this many failures the local port probably leads to the successor: then another one is searched for. */
const TRIES_PER_PORT = 8;
/** Turns of the event loop after which an established connection would have been accepted here, if it led here. */
const TURNS_TO_ACCEPT = 10;

/** The part of a server's handle that is used here; node's types leave it out. */
interface Handle {
  listen(backlog: number): number;
}

/** How a listener is retired. `shared` and `alone` are both false when a successor can bind only after the close. */
export interface Retirement {
  /** A successor listens on the port already (SO_REUSEPORT), and gets its share of the connections. */
  shared: boolean;
  /** There is no successor. */
  alone: boolean;
  /** Closes the listener at once. */
  close: () => void;
  /** After so many milliseconds the listener is closed in any case. Until then it goes on accepting. */
  withinMs: number;
}

/** Closes a listener when no connection is in its accept queue, or after `withinMs`. */
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
    // Without a successor, clients that get `Connection: close` dial this listener again at once, and would keep the
    // queue from ever being empty. The shortest queue lets few of them in.
    if (alone) handle.listen(backlog);
    let localPort = shared ? undefined : 0;
    let tries = 0;
    while (server.listening && performance.now() < deadline) {
      const before = accepted;
      await nextTurn();
      // A client that comes while the queue is plugged waits a second (for its next SYN): so plug it only when nothing
      // was accepted in this turn.
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

/** Plugs the queue and closes in the same turn of the event loop, so that no connection comes in between. */
async function closePlugged(
  handle: Handle,
  way: Way & { localPort: number },
  { close, backlog }: { close: () => void; backlog: number },
): Promise<boolean> {
  handle.listen(0);
  const plug = connect(way);
  guard(plug);
  // Node dials in process.nextTick, which is the same turn. Over loopback the handshake is complete when connect(2)
  // returns.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const plugged = isConnected(plug);
  if (plugged) close();
  else handle.listen(backlog);
  cut(plug);
  return plugged;
}

/**
 * With SO_REUSEPORT the kernel chooses one of the listeners by a hash of both addresses and ports. Finds a local port
 * from which a connection reaches this listener. Undefined when the port that was tried reaches the successor, or when
 * nothing answered until `deadline`.
 */
async function portThatLeadsTo(server: Server, way: Way, deadline: number): Promise<number | undefined> {
  const accepted = new Set<number | undefined>();
  const onConnection = (socket: Socket): void => void accepted.add(socket.remotePort);
  server.on("connection", onConnection);
  const probe = connect(way);
  guard(probe);
  // When the queue is full or a packet filter drops the SYN, the kernel would try for two minutes.
  const tooLate = setTimeout(cut, deadline - performance.now(), probe);
  await new Promise((resolve) => probe.once("connect", resolve).once("close", resolve));
  clearTimeout(tooLate);
  const port = probe.localPort;
  for (let turn = 0; turn < TURNS_TO_ACCEPT && !accepted.has(port); turn += 1) await nextTurn();
  server.off("connection", onConnection);
  // Closed by RST: after a FIN the local port would be in TIME_WAIT, and could not be used again.
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

/** How to dial a listener from this machine. */
function wayTo({ address, port }: AddressInfo): Way {
  if (!/^(127\.|0\.0\.0\.0$|::$)/.test(address)) return { host: address, port };
  // From a random loopback address, so that no other process uses the local port that was found.
  const byte = (): number => 1 + Math.floor(Math.random() * 254);
  const own = `127.${byte()}.${byte()}.${byte()}`;
  return { host: address.startsWith("127.") ? address : "127.0.0.1", port, localAddress: own };
}

/** Is the socket connected? Asks the kernel: node would report it in the next turn of the event loop only. */
function isConnected(socket: Socket): boolean {
  const handle = (socket as Socket & { _handle?: { getpeername?(out: object): number } | null })._handle;
  return handle?.getpeername?.({}) === 0;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

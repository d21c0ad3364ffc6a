// Faults that this proxy has had, or that its kind has, as edits of the source: prove.mjs puts them back one by one and
// sees how long the player takes to find each. An edit whose text is not there any more has to be written anew.

/** @typedef {{ name: string; file: string; find: string; put: string }} Fault */

/** An object of 104 bytes: three words of its own, and ten fields. */
const SMALL = "{ a: 0, b: 1, c: 2, d: 3, e: 4, f: 5, g: 6, h: 7, i: 8, j: 9 }";

/** @type {Fault[]} */
export const FAULTS = [
  // -- bytes of one answer taken for the next
  {
    name: "a connection is used again behind an answer to HEAD that announced a body",
    file: "http/response-parser.ts",
    find: "(bodiless ? !announcesBody(head) : framing",
    put: "(bodiless || announcesBody(head) === undefined || framing",
  },
  {
    name: "a connection is used again behind chunks in HTTP/1.0",
    file: "http/response-head.ts",
    find: "if (!head.isHttp11) head.persistent = false;",
    put: "",
  },
  {
    name: "a connection is used again on which more came than its answer",
    file: "http/response-parser.ts",
    find: "this.complete && !this.surplus && this.#persists",
    put: "this.complete && this.#persists",
  },
  {
    name: "a connection is used again on which the answer came before its request",
    file: "exchange/call.ts",
    find: "if (this.#over || (!this.#sent && !surplus)) return;\n    if (this.#sent && isReusable",
    put: "if (this.#over) return;\n    if (isReusable && !surplus",
  },
  {
    name: "bytes on an idle connection are not noticed",
    file: "upstream/pool.ts",
    find: "onData(): void {\n    this.#pool.lost(this);",
    put: "onData(): void {",
  },
  {
    name: "the rest of another answer on a used connection is a 502",
    file: "exchange/call.ts",
    find: "this.#connection.reused && !answered",
    put: "answered && !answered",
  },
  {
    name: "bytes that are only lent are kept",
    file: "core/lent.ts",
    find: "  bytes.copy(carrier, before.length);\n",
    put: "  bytes.copy(carrier, before.length);\n  spare.push(carrier);\n",
  },
  // -- what is cut looks whole
  {
    name: "a body that ends with its connection is cut by a FIN",
    file: "exchange/ending.ts",
    find: "if (answer?.closeDelimited) reset(client);",
    put: 'if (answer?.closeDelimited && by === "proxy") reset(client);',
  },
  {
    name: "a RST completes a body that ends with its connection",
    file: "exchange/call.ts",
    find: 'if (fate.how !== "fin" || !this.#parser.finish())',
    put: "if (!this.#parser.finish())",
  },
  {
    name: "a RST behind the last bytes is taken for a FIN",
    file: "core/sockets.ts",
    find: 'guard(this).how ??= isReset(this) ? "rst" : "fin";',
    put: 'guard(this).how ??= isReset(this) ? "fin" : "fin";',
  },
  {
    name: "a head that came with a broken body is never sent",
    file: "exchange/exchange.ts",
    find: "this.#answer?.flush();",
    put: "",
  },
  // -- done twice, or in vain
  {
    name: "a POST is sent again",
    file: "exchange/retry.ts",
    find: "return idempotencyKey || SAFE_TO_REPEAT.test(method);",
    put: 'return idempotencyKey || SAFE_TO_REPEAT.test(method) || method === "POST";',
  },
  {
    name: "a broken connection is taken for a proof that a POST was not read",
    file: "exchange/proof.ts",
    find: "return whole && resetBehindFin &&",
    put: "return whole &&",
  },
  {
    name: "a POST goes on a connection that its upstream has not promised to keep",
    file: "upstream/pool.ts",
    find: "return Math.min(promised.reliedUntil, until) > now &&",
    put: "return Math.min(until, promised.reliedUntil + until) > now &&",
  },
  {
    name: "a request is sent again although an answer had begun",
    file: "exchange/retry.ts",
    find: '(how !== "protocol" && !responded)',
    put: '(how !== "protocol" && (responded || !responded))',
  },
  {
    name: "a request is sent again six times",
    file: "exchange/retry.ts",
    find: "MAX_RETRIES = 2",
    put: "MAX_RETRIES = 6",
  },
  {
    name: "a body that outgrows its copy before its next attempt begins there",
    file: "exchange/request-body.ts",
    find: "for (const piece of this.#copy.pieces()) this.#waiting.add(piece);",
    put: "",
  },
  {
    name: "a body that was not kept is sent again as far as it is there",
    file: "exchange/sending.ts",
    find: "&& (this.body?.replayable ?? true)",
    put: "",
  },
  {
    name: "an upstream works on for a client that has gone",
    file: "exchange/exchange.ts",
    find: "    this.#call?.abandon();\n  }",
    put: "  }",
  },
  {
    name: "a held request whose client has gone is sent all the same",
    file: "upstream/upstream.ts",
    find: "      waiter.cancelDial?.();\n      this.#held.leave(waiter);",
    put: "      void waiter;",
  },
  {
    name: "what arrives behind our FIN is begun",
    file: "front/listener.ts",
    find: "    if (connection.isEnded) return this.#tooLate(req, connection);\n    connection.request = req;",
    put: "    connection.request = req;",
  },
  {
    name: "what was pipelined behind the last answer is begun",
    file: "front/listener.ts",
    find: "if (connection.isEnded || connection.nextTurn()) return;",
    put: "if (connection.nextTurn()) return;",
  },
  // -- order, and what is lost
  {
    name: "pipelined requests do not wait for their turn",
    file: "front/connection.ts",
    find: "if (!this.busy) {\n      this.busy = true;\n      return run();",
    put: "if (this.busy || !this.busy) {\n      this.busy = true;\n      return run();",
  },
  {
    name: "what comes while a request waits for its turn is lost",
    file: "front/listener.ts",
    find: '  socket.on("data", onData);\n  return () => {',
    put: "  return () => {",
  },
  {
    name: "a client that waits behind an upload is not looked after",
    file: "front/connection.ts",
    find: "if (this.#upgradeWaits) return;",
    put: "",
  },
  {
    name: "an upgrade behind an upload has a socket that nobody reads",
    file: "front/connection.ts",
    find: "    socket._read(0);\n",
    put: "",
  },
  {
    name: "trailers are dropped",
    file: "exchange/answer.ts",
    find: "if (trailers.length > 0 && this.#chunked)",
    put: "if (trailers.length > 99 && this.#chunked)",
  },
  {
    name: "interim answers are dropped",
    file: "exchange/exchange.ts",
    find: 'if (req.httpVersion === "1.1") passInterim',
    put: 'if (req.httpVersion === "1.2") passInterim',
  },
  {
    name: "an empty line that is cut in two is not found",
    file: "http/partial-head.ts",
    find: "Math.max(0, before - EMPTY_LINE.length + 1)",
    put: "before",
  },
  {
    name: "what a client sends with its upgrade is dropped",
    file: "exchange/exchange.ts",
    find: "tunnel.start(this.#early?.take() ?? Buffer.alloc(0), early);",
    put: "this.#early?.take();\n    tunnel.start(Buffer.alloc(0), early);",
  },
  {
    name: "what an upstream sends with its 101 is dropped",
    file: "exchange/exchange.ts",
    find: "?? Buffer.alloc(0), early);",
    put: "?? Buffer.alloc(0), early.subarray(early.length));",
  },
  {
    name: "a Close of ours stands in the middle of a frame",
    file: "tunnel/tunnel.ts",
    find: "this.#isClosing() || !end.follower.betweenFrames) return;",
    put: "this.#isClosing()) return;",
  },
  // -- what is owed, and what is left
  {
    name: "a client that takes nothing is never late",
    file: "core/backlog.ts",
    find: "return this.#limitMs > 0 && now >= this.#since + this.#limitMs;",
    put: "return this.#limitMs > 0 && now >= this.#since + 100 * this.#limitMs;",
  },
  {
    name: "a drain does not wait for what is in flight",
    file: "proxy/proxy.ts",
    find: "await this.#ended(began + drain - lastWords,",
    put: "await this.#ended(began,",
  },
  {
    name: "exchanges that are over stay in memory",
    file: "exchange/exchange.ts",
    find: "this.#open = parts.exchanges.add(this);",
    put: "this.#open = parts.exchanges.add(this);\n    ((globalThis as { kept?: object[] }).kept ??= []).push(this);",
  },
  // -- the account
  {
    name: "the last piece of a body is not counted",
    file: "exchange/answer.ts",
    find: "    this.#bytes += last?.length ?? 0;\n",
    put: "",
  },
  {
    name: "a cut answer is accounted for as a good one",
    file: "exchange/exchange.ts",
    find: "if (this.#answer) return this.#settle(by, how);",
    put: 'if (this.#answer) {\n      this.#settle(by, how === "protocol" ? "done" : how);\n      return;\n    }',
  },
  // -- leaks that only many schedules show
  {
    name: "100 bytes of each exchange stay in memory",
    file: "exchange/exchange.ts",
    find: "this.#open = parts.exchanges.add(this);",
    put: `this.#open = parts.exchanges.add(this);\n    ((globalThis as { kept?: object[] }).kept ??= []).push(${SMALL});`,
  },
  {
    name: "100 bytes of each exchange stay in its proxy's memory",
    file: "exchange/exchange.ts",
    find: "this.#open = parts.exchanges.add(this);",
    put: `this.#open = parts.exchanges.add(this);\n    ((parts.exchanges as { kept?: object[] }).kept ??= []).push(${SMALL});`,
  },
];

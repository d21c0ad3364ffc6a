// A GraphQL server whose subscription ticks, and says which process it is; argv is the port.

import { createServer } from "node:http";
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

async function* ticks() {
  for (let n = 0; ; n += 1) {
    yield { ticks: `${process.pid} ${n}` };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const http = createServer((_req, res) => res.end());
const schema = buildSchema("type Query { nothing: Int } type Subscription { ticks: String! }");
useServer({ schema, roots: { subscription: { ticks } } }, new WebSocketServer({ server: http, path: "/graphql" }));
http.listen(Number(process.argv[2]), "127.0.0.1");

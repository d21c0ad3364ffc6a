// npm run once [-- --tries N] [--posts N] [--json] Shows that a POST is acted on once at most: what is known of a
// request that meets the end of its connection, beside what the far end read of it, N times for each kind of end; and N
// POSTs, pooled and dialled, to servers of node.

import { parseArgs } from "node:util";
import { posts, SERVERS } from "./posts.mjs";
import { table } from "./table.mjs";

const { values } = parseArgs({
  options: {
    tries: { type: "string", default: "10000" },
    posts: { type: "string", default: "34000" },
    json: { type: "boolean" },
  },
});
const [tries, each] = [Number(values.tries), Number(values.posts)];
if (!Number.isInteger(tries) || !Number.isInteger(each) || tries < 1 || each < 1) {
  process.stderr.write("--tries and --posts are whole numbers.\n");
  process.exit(64);
}

/** @param {string} text */
const say = (text) => void (values.json || process.stdout.write(`${text}\n`));

say(`Node ${process.version}; ${tries} tries for each kind`);
const rows = await table(tries, ({ mode, bytes, looked, counts, wrong }) => {
  const found = Object.entries(counts).map(([what, count]) => `${what}: ${count}`);
  const looks = looked ? ", looked at before" : "";
  say(`${mode}; ${bytes} bytes${looks}: ${found.join("; ")}${wrong > 0 ? `; WRONG: ${wrong}` : ""}`);
});
/** @type {Record<string, Awaited<ReturnType<typeof posts>>>} */
const servers = {};
for (const name of Object.keys(SERVERS)) {
  const done = (servers[name] = await posts(name, each));
  say(`\nserver ${name}${done.restarts > 0 ? `, ${done.restarts} times` : ""}`);
  if (!values.json) console.table({ pooled: done.pooled, "always dialled": done.dialled });
}
const all = Object.values(servers).flatMap(({ pooled, dialled }) => [pooled, dialled]);
const faults = [...rows.map(({ wrong }) => wrong), ...all.map(({ twice, unseen }) => twice + unseen)];
const sum = faults.reduce((a, b) => a + b, 0);
if (values.json) process.stdout.write(JSON.stringify({ rows, servers }));
else say(sum === 0 ? "\nnothing was acted on twice" : `\n${sum} FAULTS`);
process.exitCode = sum === 0 ? 0 : 1;

// Tells what was played, for a person who looks for the cause of a finding.

import type { Played } from "./played.ts";

const MOST = 400;

function shortened(text: string): string {
  const shown = text.length > MOST ? `${text.slice(0, MOST / 2)} … ${text.slice(-MOST / 2)}` : text;
  return JSON.stringify(shown);
}

/** Everything that was seen, a line each; events have numbers in the order in which they happened. */
export function tell({ clients, exchanges, accounts, drainedAt, killedAt }: Played): string[] {
  const lines: string[] = [];
  clients.forEach((client, n) => {
    const sent = client.log.map(({ at, upTo }) => `${upTo} at ${at}`).join(", ");
    lines.push(
      `client ${n} sends ${sent}; ${client.fault} at ${client.faultAt}; ended ${client.ended} at ${client.endedAt}`,
    );
    lines.push(`  bytes: ${client.pieces.map(shortened).join(" | ")}`);
    lines.push(`  got: ${shortened(client.received)}`);
  });
  for (const { tag, pieces, arrivals } of exchanges) {
    lines.push(`${tag} is answered ${pieces.map(shortened).join(" | ")}`);
    for (const one of arrivals) {
      lines.push(
        `  arrived at ${one.at}, whole at ${one.completeAt}, as ${one.on.arrivals.indexOf(one) + 1}. of its connection: ${one.message.line}, ${one.message.body.length} bytes; ` +
          `${one.pieces} pieces sent, whole at ${one.wholeAt}, ${one.fault} at ${one.faultAt}; connection ended ${one.on.ended}`,
      );
    }
  }
  for (const { at, ...account } of accounts) lines.push(`account at ${at}: ${JSON.stringify(account)}`);
  if (drainedAt !== Infinity) lines.push(`drained at ${drainedAt}`);
  if (killedAt !== Infinity) lines.push(`killed at ${killedAt}`);
  return lines;
}

// One client of the soak that plays one cell of the fault table.

import { Dialled, FORGOTTEN_MS, isWhole } from "./dialled.mjs";
import { Frames, repliesTo } from "./frames.mjs";
import { FLOOD, FLOOD_CHUNK, needsFlood, partOf, queryOf, SCENES, statusOf } from "./scenes.mjs";

/** As long as a stalled client takes nothing; longer than the proxy lets it. */
const STALL_MS = 6000;

/**
 * Plays a cell.
 *
 * @param {{ port: number; cell: import("./scenes.mjs").Cell; delayMs: number; blind: boolean }} about `blind`: the
 * fault of a client does not wait for its moment.
 * @returns {Promise<import("./dialled.mjs").Played>}
 */
export function playCell({ port, cell, delayMs, blind }) {
  return new Promise((resolve) => {
    const scene = SCENES[cell.scene];
    const { side, fault } = cell;
    const own = side === "client";
    const dialled = new Dialled(port);
    const { socket } = dialled;
    const title = `${scene.moment}: ${side} ${fault}${blind ? ", blind" : ""}`;
    const timer = setTimeout(() => finish(`not over after ${FORGOTTEN_MS} ms`), FORGOTTEN_MS);
    let over = false;
    const finish = (failure) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.resetAndDestroy();
      const status = statusOf(cell);
      // What comes so soon that nobody has read the half head yet may be no head at all.
      const sure =
        !blind && scene.to !== "away" && !(own && fault === "rst" && status === 0 && scene.moment === "mid head");
      if (failure === undefined) resolve({ status, sure });
      else
        resolve({
          status,
          sure: false,
          failure: `${title}: ${failure}; came ${JSON.stringify(dialled.text.slice(0, 300))}`,
        });
    };
    const asks = partOf(scene.asks, side);
    const target = `${scene.to === "web" ? "/soak" : `/${scene.to}`}${queryOf(cell, own ? 0 : delayMs)}`;
    socket.once("connect", () => {
      dialled.send(asks(target));
      if (!own && scene.floods === "upstream" && needsFlood(cell)) pressBody(dialled, scene);
      if (own && (blind || partOf(shownOf(scene), side) === undefined)) strikeSoon();
    });
    const tunnel = scene.to === "mux" && scene.answers !== undefined;
    const frames = tunnel && !own ? new Frames() : undefined;
    let struck = false;
    let open = false;
    const strikeSoon = () => {
      if (struck) return;
      struck = true;
      if (delayMs > 0) setTimeout(strike, delayMs);
      else strike();
    };
    const strike = () => {
      if (over) return;
      if (fault === "rst") return finish();
      if (fault === "fin") socket.end();
      if (fault === "stall" && needsFlood(cell)) {
        socket.pause();
        setTimeout(finish, STALL_MS);
      }
      if (dialled.ended !== undefined) judge();
    };
    dialled.onText = (chunk) => {
      if (frames && open)
        for (const reply of repliesTo(frames.push(chunk), { masked: true, echo: false })) socket.write(reply);
      if (tunnel && !open && dialled.status === 101) {
        open = true;
        const more = partOf(scene.after, side);
        if (more) dialled.send(more);
        if (frames) {
          const rest = dialled.answer.slice(dialled.answer.indexOf("\r\n\r\n") + 4);
          frames.push(Buffer.from(rest, "latin1"));
        }
        if (!own && needsFlood(cell)) socket.write(FLOOD);
      }
      const shown = partOf(shownOf(scene), side);
      if (own && shown !== undefined && dialled.text.includes(shown)) strikeSoon();
      // The connection stays open behind an answer of the proxy's own, and behind a good one.
      if (!own && (scene.done || dialled.status >= 500) && isWhole(dialled.answer, false)) judge();
    };
    const judge = () => {
      if (own) return fault === "stall" && !blind ? finish(wrongStatus()) : finish();
      const wrong = wrongStatus();
      if (wrong !== undefined) return finish(wrong);
      const complete = !tunnel && isWhole(dialled.answer, dialled.ended === "fin");
      const wanted = scene.done || statusOf(cell) >= 500;
      finish(complete === wanted || tunnel ? undefined : `complete: ${complete}`);
    };
    const wrongStatus = () => {
      const wanted = statusOf(cell);
      return wanted === null || dialled.status === wanted ? undefined : `${dialled.status} instead of ${wanted}`;
    };
    dialled.onEnded = () => {
      if (own && !struck && !(fault === "stall" || blind))
        return finish(`it ended (${dialled.ended}) before its moment`);
      judge();
    };
  });
}

/** What a client at fault has got when the moment is there; undefined when there is nothing to wait for. */
function shownOf(scene) {
  if (scene.shows !== undefined) return scene.shows;
  if (scene.signal !== undefined) return "103 Early Hints";
  if (scene.to !== "mux") return undefined;
  return { client: partOf(scene.answers, "client")?.endsWith("frame") ? "half a frame" : "101 Switching" };
}

function pressBody(dialled, scene) {
  if (scene.moment.includes("chunked")) dialled.socket.write(FLOOD_CHUNK);
  dialled.socket.write(FLOOD);
}

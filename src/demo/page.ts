// The demo's page, whole: no asset from elsewhere, so it works without a network. Served by web.ts.
// It knows nothing of the proxy: three streams, each reconnected when it ends, and four buttons that end them.

/** The HTML. */
export const page: string = String.raw`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>single-port demo</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%2323875f'/%3E%3C/svg%3E">
<style>
  :root {
    --ground: #f4f6f5; --card: #fff; --text: #1c2422; --muted: #586360; --line: #dbe1de;
    --good: #17774f; --wait: #96560a; --hurt: #ac3325; --bar: #dfe6e3; --screen: #17201d;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --ground: #101413; --card: #191f1d; --text: #e5ebe8; --muted: #9ba7a2; --line: #2b3431;
      --good: #55c793; --wait: #e7ad55; --hurt: #f2917f; --bar: #2a332f; --screen: #0c100f;
    }
  }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
  .wrap { max-width: 1120px; margin: 0 auto; padding: 32px 24px; display: grid; gap: 20px; }
  h1 { margin: 0; font-size: 28px; line-height: 1.2; letter-spacing: -.02em; }
  h2 { margin: 0; font-size: 16px; }
  p { margin: 0; }
  .muted, small { color: var(--muted); font-size: 14px; }
  header { display: flex; justify-content: space-between; align-items: center; gap: 16px 40px; flex-wrap: wrap; }
  header p { max-width: 56ch; margin-top: 6px; color: var(--muted); }

  .map { display: flex; align-items: center; font-size: 14px; }
  .map span { border: 1px solid var(--line); border-radius: 8px; background: var(--card); padding: 3px 10px; white-space: nowrap; }
  .map > i { width: 24px; border-top: 1px solid var(--muted); }
  .map ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 8px; }
  /* The fork: each row has half of a bracket in front of it. */
  .map li { display: flex; align-items: center; position: relative; padding-left: 20px; }
  .map li::before { content: ""; position: absolute; left: 0; width: 20px; top: 50%; height: calc(50% + 4px); border: solid var(--muted); border-width: 1px 0 0 1px; }
  .map li:last-child::before { top: auto; bottom: 50%; border-width: 0 0 1px 1px; }

  .cards { display: grid; gap: 16px; grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px; display: flex; flex-direction: column; gap: 10px; }
  .card[data-state=lost] { border-color: var(--wait); }
  .card[data-state=lost] .big { color: var(--muted); }
  h2 small { font-weight: 400; margin-left: 4px; }
  .top { display: flex; justify-content: space-between; align-items: baseline; gap: 8px; }
  .show { flex: 1; min-height: 104px; display: flex; flex-direction: column; justify-content: center; gap: 8px; }
  .big { font-size: 40px; line-height: 1.1; font-weight: 600; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
  .row { display: flex; flex-direction: column; gap: 6px; }
  .num { font-variant-numeric: tabular-nums; }
  .state { font-size: 14px; font-weight: 600; color: var(--wait); white-space: nowrap; }
  .state::before { content: ""; display: inline-block; width: 8px; height: 8px; border-radius: 50%; background: currentColor; margin-right: 6px; vertical-align: 1px; }
  [data-state=live] .state { color: var(--good); }
  .foot { border-top: 1px solid var(--line); padding-top: 10px; display: flex; justify-content: space-between; flex-wrap: wrap; gap: 0 8px; font-size: 14px; }
  progress { appearance: none; width: 100%; height: 8px; border: 0; border-radius: 4px; overflow: hidden; background: var(--bar); }
  progress::-webkit-progress-bar { background: var(--bar); }
  progress::-webkit-progress-value { background: var(--good); }
  progress::-moz-progress-bar { background: var(--good); }
  .screen { background: var(--screen); color: #d5e2dc; border-radius: 8px; padding: 8px 12px; font: 14px/1.5 ui-monospace, monospace; }
  .screen div { display: flex; gap: 1ch; min-height: 21px; }
  .screen span { color: #7fae98; flex: none; }
  .screen output, #scroll { overflow: hidden; white-space: pre; text-overflow: ellipsis; }
  #scroll { display: block; color: #8a9a93; height: 3em; }
  .screen input { flex: 1; min-width: 0; padding: 0; border: 0; background: none; color: inherit; font: inherit; outline: 0; }
  .screen input::placeholder { color: #8a9a93; opacity: 1; }
  .screen:focus-within { box-shadow: 0 0 0 2px var(--card), 0 0 0 4px var(--good); }

  .break { background: var(--ground); display: grid; gap: 10px; }
  .buttons { display: grid; gap: 12px; grid-template-columns: repeat(4, minmax(0, 1fr)); }
  button { font: inherit; text-align: left; color: var(--text); background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; cursor: pointer; }
  button b { display: block; color: var(--hurt); font-weight: 600; }
  button:hover { border-color: var(--hurt); }
  button:active { transform: translateY(1px); }
  button:focus-visible { outline: 2px solid var(--good); outline-offset: 2px; }
  .log ol { list-style: none; margin: 8px 0 0; padding: 0; font-size: 15px; display: grid; gap: 4px; min-height: 130px; align-content: start; }
  .log li { display: flex; gap: 12px; }
  .log time { color: var(--muted); font-variant-numeric: tabular-nums; flex: none; }

  @media (max-width: 900px) {
    .wrap { padding: 20px 16px; gap: 14px; }
    h1 { font-size: 24px; }
    .wide { display: none; }
    .cards { grid-template-columns: minmax(0, 1fr); gap: 12px; }
    .card { padding: 12px 14px; gap: 6px; }
    .show { min-height: 0; gap: 6px; }
    .row { flex-flow: row wrap; justify-content: space-between; align-items: baseline; }
    .big { font-size: 30px; }
    .foot { padding-top: 8px; }
    /* Below 16px a phone zooms in on the input. */
    .screen { font-size: 16px; }
    .buttons { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
    button { padding: 0 10px; min-height: 44px; text-align: center; }
    button b { font-size: 14px; }
    button small { display: none; }
  }
  /* On a tall phone the buttons stay in reach, so that one sees what they do. */
  @media (max-width: 900px) and (min-height: 640px) {
    .break { position: sticky; bottom: 0; margin: 0 -16px; padding: 10px 16px; border-top: 1px solid var(--line); order: 1; }
    .break h2 { position: absolute; clip-path: inset(50%); }
  }
</style>
<div class="wrap">
  <header>
    <div>
      <h1>single-port</h1>
      <p>One public port in front of a web server and a terminal mux. Break a part of it: only that part notices, and it comes back.</p>
    </div>
    <div class="map">
      <span class="wide">this page</span><i class="wide"></i><span><b>single-port</b></span><i></i>
      <ul>
        <li><span>web server <small class="num" id="web-pid"></small></span></li>
        <li><span>mux <small class="num" id="mux-pid"></small></span></li>
      </ul>
    </div>
  </header>

  <main class="cards">
    <section class="card" id="clock" aria-labelledby="clock-name">
      <div class="top"><h2><span id="clock-name">Clock</span> <small>web server</small></h2><span class="state">connecting</span></div>
      <div class="show row"><div class="big" id="time">--:--:--</div><small>server-sent events</small></div>
      <div class="foot"><span class="for num">&nbsp;</span><span class="muted num again"></span></div>
    </section>
    <section class="card" id="terminal" aria-labelledby="terminal-name">
      <div class="top"><h2><span id="terminal-name">Terminal</span> <small>mux</small></h2><span class="state">connecting</span></div>
      <div class="show">
        <div class="screen">
          <output id="scroll" for="keys"></output>
          <div><span aria-hidden="true">you &rsaquo;</span><input id="keys" aria-label="Type here, the mux echoes it" placeholder="type here" autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="500"></div>
          <div><span>mux &lsaquo;</span><output id="echo" for="keys"></output></div>
        </div>
        <small class="num">WebSocket, <span id="trips">0</span> round trips<span id="rtt"></span></small>
      </div>
      <div class="foot"><span class="for num">&nbsp;</span><span class="muted num again"></span></div>
    </section>
    <section class="card" id="download" aria-labelledby="download-name">
      <div class="top"><h2><span id="download-name">Download</span> <small>web server</small></h2><span class="state">connecting</span></div>
      <div class="show">
        <div class="row"><div class="big" id="bytes">0.00 MB</div><small class="num">files of 1 MB, <span id="whole">0</span> complete</small></div>
        <progress id="bar" max="1" value="0" aria-label="This download"></progress>
      </div>
      <div class="foot"><span class="for num">&nbsp;</span><span class="muted num again"></span></div>
    </section>
  </main>

  <section class="break" aria-labelledby="break-name">
    <h2 id="break-name">Break something</h2>
    <div class="buttons">
      <button type="button" data-hurt="socket"><b>Reset <span class="wide">my </span>WebSocket</b><small>a TCP reset from the mux</small></button>
      <button type="button" data-hurt="download"><b>Reset <span class="wide">the </span>download</b><small>a TCP reset, half-way through</small></button>
      <button type="button" data-hurt="mux"><b>Kill the mux</b><small>kill -9; back after 1.5 seconds</small></button>
      <button type="button" data-hurt="web"><b>Kill the web server</b><small>kill -9; back after 1.5 seconds</small></button>
    </div>
  </section>

  <section class="log" aria-labelledby="log-name">
    <h2 id="log-name">What happened</h2>
    <ol id="log" role="log" aria-live="polite" aria-labelledby="log-name"><li class="muted">Nothing yet. Press a button.</li></ol>
  </section>
</div>
<script>
"use strict";
const RETRY_MS = 500;
const id = Math.random().toString(36).slice(2);
const $ = (name) => document.getElementById(name);
const streams = [];

function say(text) {
  const log = $("log");
  if (!log.querySelector("time")) log.textContent = "";
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  line.append(time, text);
  log.prepend(line);
  while (log.children.length > 5) log.lastChild.remove();
}

function duration(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return s + " s";
  return s < 3600 ? Math.floor(s / 60) + " min " + (s % 60) + " s" : Math.floor(s / 3600) + " h " + (Math.floor(s / 60) % 60) + " min";
}

/** One stream: open() begins a connection and later calls up() and, once, down(). */
function stream(name, open) {
  const card = $(name);
  const part = (which) => card.querySelector(which);
  const title = part("h2 span").textContent;
  let state = "new", since = 0, lostAt = 0, recovered = 0;
  const set = (next, words) => { card.dataset.state = state = next; part(".state").textContent = words; };
  const self = {
    title,
    /** Has it been live since before this moment? */
    untouchedSince: (moment) => state === "live" && since < moment,
    up() {
      if (state === "live") return;
      since = performance.now();
      if (state === "lost") {
        recovered += 1;
        part(".again").textContent = "recovered " + (recovered === 1 ? "once" : recovered + " times");
        const others = streams.filter((one) => one.untouchedSince(lostAt)).map((one) => one.title.toLowerCase());
        const rest = others.length > 0 ? " Not interrupted: " + others.join(" and ") + "." : "";
        say(title + " back after " + ((since - lostAt) / 1000).toFixed(1) + " s." + rest);
      }
      set("live", "live");
      self.show();
    },
    down(why) {
      if (state === "live") { lostAt = performance.now(); say(title + " " + why + "."); set("lost", "reconnecting"); }
      self.show();
      setTimeout(() => open(self), RETRY_MS);
    },
    show() {
      const now = performance.now();
      if (state === "live") part(".for").textContent = "uninterrupted for " + duration(now - since);
      if (state === "lost") part(".for").textContent = "away for " + ((now - lostAt) / 1000).toFixed(1) + " s";
    },
  };
  streams.push(self);
  open(self);
}

stream("clock", (self) => {
  const source = new EventSource("/clock");
  source.onmessage = ({ data }) => {
    const { now, pid } = JSON.parse(data);
    $("time").textContent = new Date(now).toLocaleTimeString("en-GB");
    $("web-pid").textContent = "pid " + pid;
    self.up();
  };
  source.onerror = () => { source.close(); self.down("was cut off"); };
});

const screenLines = ["", ""];
function print(line) {
  screenLines.push(line);
  screenLines.shift();
  $("scroll").textContent = screenLines.join("\n");
}
let terminal;
let trips = 0;
stream("terminal", (self) => {
  const socket = (terminal = new WebSocket(location.origin.replace("http", "ws") + "/ao-terminal-mux?id=" + id));
  const beat = setInterval(() => socket.readyState === 1 && socket.send("beat " + performance.now()), 1000);
  socket.onmessage = ({ data }) => {
    const [, kind, value] = /^(pid|beat|keys) (.*)$/s.exec(data);
    if (kind === "pid") {
      $("mux-pid").textContent = "pid " + value;
      print("connected to pid " + value);
      self.up();
      // What was typed while it was away.
      if ($("keys").value !== "") socket.send("keys " + $("keys").value);
      return;
    }
    $("trips").textContent = (trips += 1);
    if (kind === "keys") $("echo").textContent = value;
    else $("rtt").textContent = ", last " + Math.max(1, Math.round(performance.now() - value)) + " ms";
  };
  socket.onclose = ({ code }) => {
    clearInterval(beat);
    if (self.untouchedSince(performance.now())) print("connection lost");
    self.down("was closed with code " + code);
  };
});
$("keys").oninput = ({ target }) => terminal.readyState === 1 && terminal.send("keys " + target.value);
$("keys").onkeydown = ({ key, target }) => {
  if (key !== "Enter" || target.value === "") return;
  print(target.value);
  target.value = "";
  $("echo").textContent = "";
};

let bytes = 0;
let whole = 0;
stream("download", async (self) => {
  try {
    for (;;) {
      const answer = await fetch("/download?id=" + id);
      if (!answer.ok) throw new Error("status " + answer.status);
      const reader = answer.body.getReader();
      const size = Number(answer.headers.get("content-length"));
      for (let got = 0; ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        got += value.length;
        bytes += value.length;
        $("bar").value = got / size;
        $("bytes").textContent = (bytes / 1e6).toFixed(2) + " MB";
        self.up();
      }
      $("whole").textContent = (whole += 1);
      // A browser has six connections for all tabs together: those that nobody looks at need not use two.
      while (document.hidden) await new Promise((resolve) => addEventListener("visibilitychange", resolve, { once: true }));
    }
  } catch {
    $("bar").value = 0;
    self.down("was cut off half-way");
  }
});

for (const button of document.querySelectorAll("button")) {
  button.onclick = async () => {
    try {
      await fetch("/hurt/" + button.dataset.hurt + "?id=" + id, { method: "POST" });
    } catch {
      say("The button could not be heard. Is the demo still running?");
    }
  };
}
setInterval(() => streams.forEach((one) => one.show()), 250);
</script>
</html>
`;

// The browser code of the demo's page, as a string: keeps three streams open, and shows when each ends and reconnects.
// Used by page.ts.

import { PAGE_WORDS } from "../core/page-words.ts";

/** The script. */
export const SCRIPT: string = String.raw`"use strict";
${PAGE_WORDS}const RETRY_MS = 500;
const id = Math.random().toString(36).slice(2);
const $ = (name) => document.getElementById(name);
const streams = [];

function say(text) {
  const log = $("log");
  if (!log.querySelector("time")) log.textContent = "";
  const line = document.createElement("p");
  const time = document.createElement("time");
  time.textContent = clock(Date.now());
  line.append(time, text);
  log.prepend(line);
  while (log.children.length > 5) log.lastChild.remove();
}

/** Close codes in words (RFC 6455 7.4.1). */
const CODES = {
  1001: "the proxy or the server goes away",
  1006: "the connection was cut without a Close frame",
  1011: "the server had an error",
  1012: "service restart: the proxy says that the mux is gone, and to reconnect",
};

/** Greys out the killed server in the picture, until its next process answers. */
function killed(part) {
  $(part + "-part").classList.add("gone");
  set(part + "-pid", "killed");
}
function alive(part, pid) {
  if ($(part + "-pid").textContent === "pid " + pid) return;
  if ($(part + "-part").classList.contains("gone") && last[part] === String(pid)) return;
  last[part] = String(pid);
  $(part + "-part").classList.remove("gone");
  set(part + "-pid", "pid " + pid);
}
const last = {};
function set(id, text) {
  $(id).textContent = text;
}

/** Sends a request while the web server is down: the proxy holds it until the server is back. */
async function ask() {
  const began = performance.now();
  try {
    const answer = await fetch("/whoami", { cache: "no-store" });
    if (!answer.ok) throw new Error("status " + answer.status);
    const pid = await answer.text();
    say("A request sent after the kill was held for " + ((performance.now() - began) / 1000).toFixed(1) + " s, and the new web server (pid " + pid + ") answered it.");
  } catch {
    say("A request sent after the kill was not answered.");
  }
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
    /** Has the stream been live since before this moment? */
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
      if (state === "live") part(".for").textContent = "uninterrupted for " + age(now - since);
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
    $("time").textContent = clock(now);
    alive("web", pid);
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
      alive("mux", value);
      print("connected to pid " + value);
      self.up();
      // Sends what was typed while the connection was lost.
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
    self.down("was closed with code " + code + (CODES[code] ? " (" + CODES[code] + ")" : ""));
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
      // A browser has six connections for all its tabs, so hidden tabs pause their downloads.
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
      const answer = await fetch("/hurt/" + button.dataset.hurt + "?id=" + id, { method: "POST" });
      if (!answer.ok) throw new Error("status " + answer.status);
      const { hurt } = button.dataset;
      if (hurt === "web" || hurt === "mux") killed(hurt);
      // The web server is killed 50 ms after its answer to the button.
      if (hurt === "web") setTimeout(ask, 200);
    } catch {
      say("The button had no effect: the request failed. Is the demo still running?");
    }
  };
}
setInterval(() => streams.forEach((one) => one.show()), 250);
`;

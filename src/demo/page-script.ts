// What the demo's page does: keeps three streams open, and says what became of them. Read by page.ts; runs in a browser,
// so it is one string of plain JavaScript.

/** The script. */
export const SCRIPT: string = String.raw`"use strict";
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
      const answer = await fetch("/hurt/" + button.dataset.hurt + "?id=" + id, { method: "POST" });
      if (!answer.ok) throw new Error("status " + answer.status);
    } catch {
      say("The button could not be heard. Is the demo still running?");
    }
  };
}
setInterval(() => streams.forEach((one) => one.show()), 250);
`;

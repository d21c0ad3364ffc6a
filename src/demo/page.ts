// The demo's page, self-contained, so that it works without a network. Served by web.ts. It knows nothing of the proxy:
// it has three streams, each reconnected when it ends, and four buttons that break them.

import { SCRIPT } from "./page-script.ts";
import { STYLE } from "./page-style.ts";

/** The HTML. */
export const page: string = String.raw`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>single-port demo</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='%2323875f'/%3E%3C/svg%3E">
<style>
${STYLE}</style>
<div class="wrap">
  <header>
    <div>
      <h1>single-port</h1>
      <p>One public port in front of a web server and a terminal mux. Break a part of it: only that part notices, and it comes back.</p>
    </div>
    <div class="map">
      <span class="wide">this page</span><i class="wide"></i><span><b>single-port</b></span><i></i>
      <ul>
        <li id="web-part"><span>web server <small class="num" id="web-pid"></small></span></li>
        <li id="mux-part"><span>mux <small class="num" id="mux-pid"></small></span></li>
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
      <button type="button" data-hurt="web"><b>Kill the web server</b><small>kill -9; a request waits for it</small></button>
    </div>
  </section>

  <section class="log" aria-labelledby="log-name">
    <h2 id="log-name">What happened</h2>
    <div id="log" tabindex="0" role="log" aria-live="polite" aria-labelledby="log-name"><p class="muted">Nothing yet. Press a button.</p></div>
  </section>
</div>
<script>
${SCRIPT}</script>
</html>
`;

// The live page of --admin (SPEC 8.3): one self-contained HTML document that follows /events. Loaded when asked for.

/** The page. */
export function livePage(): string {
  return "<!doctype html><title>single-port</title><pre id=o></pre><script>new EventSource('/events').onmessage=e=>o.textContent=JSON.stringify(JSON.parse(e.data),null,1)</script>";
}

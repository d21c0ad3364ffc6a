// GET /events: an event stream, a line every 100 ms, for the dashboard's live part.

export const dynamic = "force-dynamic";

/** A line every 100 ms: which server, and how many it has sent. */
export function GET(request) {
  const encoder = new TextEncoder();
  let timer;
  const stop = () => clearInterval(timer);
  request.signal.addEventListener("abort", stop);
  const body = new ReadableStream({
    start(controller) {
      let count = 0;
      timer = setInterval(() => {
        count += 1;
        controller.enqueue(encoder.encode(`data: ${process.pid} ${count}\n\n`));
      }, 100);
    },
    cancel: stop,
  });
  const headers = { "Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform" };
  return new Response(body, { headers });
}

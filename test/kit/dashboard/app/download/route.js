// GET /download: as many MiB as are asked for, for the dashboard's test of large responses.

export const dynamic = "force-dynamic";

const MIB = 1024 * 1024;

/** As many MiB as are asked for: in each, every byte is the number of the MiB. */
export function GET(request) {
  const mib = Number(request.nextUrl.searchParams.get("mib"));
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (sent === mib) return controller.close();
      controller.enqueue(new Uint8Array(MIB).fill(sent % 256));
      sent += 1;
    },
  });
  return new Response(body, { headers: { "Content-Type": "application/octet-stream" } });
}

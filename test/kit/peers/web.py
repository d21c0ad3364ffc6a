# One small web server, in three of Python's ways: `http.server`, `aiohttp` or `uvicorn`. Prints its port.
# Second argument: the port, or 0.

import asyncio
import socket
import sys
import threading

KIND, PORT = sys.argv[1], int(sys.argv[2])
LIMIT = 1000
FILE = "".join(f"line {n}\n" for n in range(10_000)).encode()


def listen():
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", PORT))
    bound.listen(64)
    print(f"port {bound.getsockname()[1]}", flush=True)
    return bound


def plain():
    """http.server as people build on it: a body is read only by a handler that does so, chunks by none. Prints what it does."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    more = threading.Semaphore(0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/events":
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for n in range(3):
                    self.wfile.write(f"data: {n}\n\n".encode())
                    self.wfile.flush()
                    more.acquire()
                return
            if self.path == "/more":
                more.release()
            self.answer(200, FILE if self.path == "/file" else b"hello")

        do_HEAD = do_GET

        def do_POST(self):
            length = int(self.headers.get("Content-Length", 0))
            if self.path == "/limited" and length > LIMIT:
                self.close_connection = True
                return self.answer(413, b"too large")
            self.answer(200, self.rfile.read(length))

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            print(self.requestline, flush=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listen()
    server.daemon_threads = True
    server.serve_forever()


async def with_aiohttp():
    from aiohttp import WSMsgType, web

    more = asyncio.Semaphore(0)

    async def hello(_):
        return web.Response(text="hello")

    async def file(_):
        return web.Response(body=FILE)

    async def events(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for n in range(3):
            await response.write(f"data: {n}\n\n".encode())
            await more.acquire()
        return response

    async def another(_):
        more.release()
        return web.Response()

    async def echo(request):
        return web.Response(body=await request.read())

    async def limited(request):
        if (request.content_length or 0) > LIMIT:
            raise web.HTTPRequestEntityTooLarge(LIMIT, request.content_length, text="too large")
        return web.Response(body=await request.read())

    async def mux(request):
        socket = web.WebSocketResponse(protocols=["chat"], max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.data == "bye":
                await socket.close(code=4001)
            elif message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
        return socket

    app = web.Application(client_max_size=100_000_000)
    app.add_routes([web.get("/hello", hello), web.get("/file", file), web.get("/events", events)])
    app.add_routes([web.get("/more", another), web.post("/echo", echo), web.post("/limited", limited), web.get("/mux", mux)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listen()).start()
    await asyncio.Event().wait()


def with_uvicorn():
    import uvicorn

    more = None

    async def web(scope, receive, send):
        nonlocal more
        path = scope["path"]

        async def answer(body, status=200):
            fields = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})

        if path == "/hello":
            return await answer(b"hello")
        if path == "/file":
            return await answer(FILE)
        if path == "/more":
            more.release()
            return await answer(b"")
        if path == "/events":
            more = asyncio.Semaphore(0)
            fields = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            for n in range(3):
                await send({"type": "http.response.body", "body": f"data: {n}\n\n".encode(), "more_body": True})
                await more.acquire()
            return await send({"type": "http.response.body", "body": b""})
        if path == "/limited":
            length = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
            if length > LIMIT:
                return await answer(b"too large", 413)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                return await answer(body)

    async def mux(_, receive, send):
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["text"] == "bye":
                return await send({"type": "websocket.close", "code": 4001})
            await send({"type": "websocket.send", "text": message["text"]})

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await web(scope, receive, send)
        elif scope["type"] == "websocket":
            await mux(scope, receive, send)

    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=1)
    uvicorn.Server(config).run(sockets=[listen()])


if KIND == "http.server":
    plain()
elif KIND == "aiohttp":
    asyncio.run(with_aiohttp())
else:
    with_uvicorn()

# The answering half of test/kit/talk.ts, with Python's websockets.
# Arguments: `client URL`, or `server`.

import asyncio
import sys

import websockets


async def answer(socket, *_):
    received = 0
    sent = 0
    stream = None

    async def streaming():
        nonlocal sent
        while True:
            await socket.send(f"{sent} " + "y" * (sent * 37 % 4000))
            sent += 1
            await asyncio.sleep(0.003)

    async for text in socket:
        if text == "go":
            stream = asyncio.ensure_future(streaming())
        elif text == "stop":
            stream.cancel()
            await socket.send(f"done {received} {sent}")
        elif int(text.split(" ")[0]) == received:
            received += 1
        else:
            await socket.send(f"out of order: {text[:20]}")


async def main():
    if sys.argv[1] == "client":
        async with websockets.connect(sys.argv[2], ping_interval=None) as socket:
            print("open 1", flush=True)
            await answer(socket)
    else:
        server = await websockets.serve(answer, "127.0.0.1", 0, ping_interval=None)
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Future()


asyncio.run(main())

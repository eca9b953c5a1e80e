# Connections that an event loop has under way at the same time, children included.
import asyncio
import sys


async def tcp(host, port):
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.read()
        writer.close()
    except OSError:
        pass


async def unix(path):
    try:
        _, writer = await asyncio.open_unix_connection(path)
        writer.close()
    except OSError:
        pass


async def child():
    script = "import socket; socket.socket().connect_ex(('127.0.0.1', 8080))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", script)
    assert await process.wait() == 0


async def everything():
    ways = []
    for _ in range(20):
        ways += [tcp("127.0.0.1", 8080), tcp("::1", 8080), tcp("127.0.0.1", 9)]
        ways += [unix("http.sock"), unix("/no/such/socket")]
    ways += [tcp("localhost", 8080), tcp("service.connect-observer.test", 8080), child()]
    await asyncio.gather(*ways)


asyncio.run(everything())

import asyncio
import threading

from services.dockerd.web.asgi import ASGIApp, Receive, Scope, Send
from services.dockerd.web.late import Late
from tests.unit.dockerd.web.connection import run, serve


@run
async def test_requests_wait_until_it_is_loaded() -> None:
    loading, built = threading.Event(), []

    def build() -> ASGIApp:
        built.append(threading.current_thread())
        assert loading.wait(20)
        return app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    late = Late(build)
    async with serve(late) as client:
        client.send(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        waiting = asyncio.ensure_future(client.head())
        while not built:  # noqa: ASYNC110 - a thread does it
            await asyncio.sleep(0)
        assert not waiting.done() and built != [threading.main_thread()]
        loading.set()
        assert "200 OK" in await waiting
        assert await client.exactly(2) == b"ok"
        await client.head()
    assert len(built) == 1

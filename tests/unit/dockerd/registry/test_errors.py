import aiohttp

from services.dockerd.registry import errors


def test_what_broke_off_is_said_in_gos_words() -> None:
    told = [str(errors.unreachable("GET", "http://r/x", error)) for error in (
        aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError("Response payload is not completed"))]
    assert told == ['Get "http://r/x": EOF', 'Get "http://r/x": unexpected EOF']

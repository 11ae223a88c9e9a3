"""Calls to a plugin over the real wire."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.errdefs import DeadlineExceeded, Unavailable, Unknown
from services.dockerd.plugins import wire
from services.dockerd.plugins.discovery import Place, Trust
from services.dockerd.plugins.plugin import Plugin, pause
from tests.fakes import plugin as fake
from tests.harness.certs import Authority, authority


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[fake.Plugin]:
    with fake.Plugin(tmp_path / "p.sock") as made:
        yield made


def plugin(server: fake.Plugin, trust: Trust | None = None) -> Plugin:
    return Plugin(Place("p", server.address, trust))


def test_a_call_sends_its_document(server: fake.Plugin) -> None:
    server.answers["VolumeDriver.Mount"] = lambda asked: {"Mountpoint": f"/mnt/{asked['Name']}", "Err": ""}
    reply = asyncio.run(plugin(server).call("VolumeDriver.Mount", {"Name": "v", "ID": "1"}))
    assert reply["Mountpoint"] == "/mnt/v"
    assert server.calls == [("VolumeDriver.Mount", {"Name": "v", "ID": "1"})]
    assert server.headers[0]["Accept"] == "application/vnd.docker.plugins.v1.2+json"


def test_its_own_error_is_told_as_it_is(server: fake.Plugin) -> None:
    server.answers["VolumeDriver.Remove"] = lambda _: {"Err": "volume is busy"}
    with pytest.raises(Unknown, match=r"^volume is busy$"):
        asyncio.run(plugin(server).call("VolumeDriver.Remove", {}))


def test_an_error_may_be_asked_for_as_a_field(server: fake.Plugin) -> None:
    server.answers["AuthZPlugin.AuthZReq"] = lambda _: {"Allow": False, "Err": "no"}
    assert asyncio.run(plugin(server).ask("AuthZPlugin.AuthZReq", {})) == {"Allow": False, "Err": "no"}


@pytest.mark.parametrize(("body", "text"), [(b'{"Err": "full"}', "M: full"), (b"plain words\n", "M: plain words")])
def test_a_status_names_the_method(server: fake.Plugin, body: bytes, text: str) -> None:
    server.answers["M"] = lambda _: (500, body)
    with pytest.raises(Unknown, match=f"^{text}$"):
        asyncio.run(plugin(server).call("M"))


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff"])
def test_nonsense_is_refused(server: fake.Plugin, body: bytes) -> None:
    server.answers["M"] = lambda _: body
    with pytest.raises(Unknown, match="reply is not"):
        asyncio.run(plugin(server).call("M"))


def test_a_reply_without_end_is_cut(server: fake.Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LIMIT", 1000)
    server.answers["M"] = lambda _: {"long": "x" * 2000}
    with pytest.raises(Unavailable, match="longer than 1000 bytes"):
        asyncio.run(plugin(server).call("M"))


def test_one_that_hangs_delays_nobody_else(server: fake.Plugin) -> None:
    release = threading.Event()
    server.answers["Hang"] = lambda _: {"done": release.wait(20)}
    server.answers["Quick"] = lambda _: {"done": True}

    async def both() -> None:
        hanging = asyncio.ensure_future(plugin(server).call("Hang", timeout=0.3))
        assert (await plugin(server).call("Quick"))["done"]
        assert not hanging.done()
        with pytest.raises(DeadlineExceeded, match=r"does not answer within 0\.3 s"):
            await hanging

    asyncio.run(both())
    release.set()


def test_nobody_listening_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"connect: no such file or directory$"):
        asyncio.run(Plugin(Place("p", f"unix://{tmp_path}/none.sock")).call("M", patience=0))


def test_one_that_dies_in_its_answer_is_said(tmp_path: Path) -> None:
    async def dying() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
            writer.close()

        path = str(tmp_path / "p.sock")
        async with await asyncio.start_unix_server(hang_up, path):
            with pytest.raises(Unavailable):
                await Plugin(Place("p", f"unix://{path}")).call("M")

    asyncio.run(dying())


def test_one_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    async def late() -> None:
        path = tmp_path / "p.sock"
        call = asyncio.ensure_future(Plugin(Place("p", f"unix://{path}")).call("M"))
        await asyncio.sleep(0)
        with fake.Plugin(path, answers={"M": lambda _: {"in": "time"}}):
            assert await call == {"in": "time"}

    asyncio.run(late())


def test_pauses_double_within_patience() -> None:
    waits, elapsed = [], 0.0
    while (wait := pause(len(waits), elapsed)) is not None:
        waits.append(wait)
        elapsed += wait
    assert waits == [1, 2, 4, 8]
    assert pause(0, 0, patience=0) is None


def test_tls_is_verified_by_the_authority_given(signed: Authority, tmp_path: Path) -> None:
    files = signed.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    context.load_verify_locations(signed.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = signed.client()
    trust = Trust(ca=str(signed.ca), cert=str(mine / "cert.pem"), key=str(mine / "key.pem"))
    with fake.Plugin(tls=context, answers={"M": lambda _: {"seen": True}}) as server:
        assert asyncio.run(plugin(server, trust).call("M"))["seen"]
        with pytest.raises(Unavailable):  # nothing shown
            asyncio.run(plugin(server, Trust(ca=str(signed.ca))).call("M", patience=0))
        with pytest.raises(Unavailable, match="certificate verify failed"):  # nobody vouches for it
            asyncio.run(plugin(server).call("M", patience=0))


def test_insecure_verifies_nothing(signed: Authority) -> None:
    files = signed.issue("else", "serverAuth", "DNS:elsewhere")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    with fake.Plugin(tls=context, answers={"M": lambda _: {"seen": True}}) as server:
        assert asyncio.run(plugin(server, Trust(insecure=True)).call("M"))["seen"]

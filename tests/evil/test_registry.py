"""Registries that lie, break off or lead astray: the pull fails in words, nothing is kept, the engine lives on."""

import gzip
import json
import secrets
import threading
from collections.abc import Iterator

import pytest

from tests.fakes.registry import Fake, Handler, body, send, serving
from tests.harness import images
from tests.harness.cli import Docker
from tests.harness.engine import HOST, Engine
from tests.harness.http import API, with_query
from tests.harness.wait import until

pytestmark = [pytest.mark.ours, pytest.mark.usefixtures("images_gone")]


@pytest.fixture
def fake(engine: Engine) -> Iterator[Fake]:
    with serving(engine.network, 5100) as fake:
        yield fake


def blobs(engine: Engine) -> int:
    return len(list((engine.data / "containerd").glob("**/blobs/sha256/*")))


def ingests(engine: Engine) -> list[str]:
    return [str(each) for each in (engine.data / "containerd").glob("**/ingest/*")]


def refused(engine: Engine, fake: Fake, name: str) -> str:
    """The words of a pull that fails and leaves nothing."""
    before = blobs(engine)
    said = engine.docker.fails("pull", f"{fake.address}/{name}")
    until(lambda: blobs(engine) <= before and not ingests(engine), f"nothing is kept: {ingests(engine)}")
    assert engine.docker("images", "-q", f"{fake.address}/*").out == ""
    return said


def unpacked(text: str) -> tuple[bytes, bytes, bytes]:
    """Config, base layer and a big layer that says `text`."""
    config, (base, top) = images.small(text + "x" * 100)
    return config, base, top


def test_a_wrong_digest(engine: Engine, fake: Fake) -> None:
    config, base, top = unpacked("one")
    fake.image("wrong:1", config, [base, top])
    fake.documents[f"wrong/blobs/{images.digest(top)}"] = ("", top[:-9] + bytes([top[-9] ^ 1]) + top[-8:])
    assert "filesystem layer verification failed for digest " + images.digest(top) in refused(engine, fake, "wrong:1")


def test_a_wrong_manifest(engine: Engine, fake: Fake) -> None:
    document = fake.image("wrong:1", *images.small())
    digest = images.digest(document)
    fake.documents[f"wrong/manifests/{digest}"] = (images.MANIFEST, document + b" ")
    assert f"manifest verification failed for digest {digest}" in refused(engine, fake, f"wrong@{digest}")


def test_a_layer_that_unpacks_to_another(engine: Engine, fake: Fake) -> None:
    config, (base, _) = images.small("said")
    _, (_, other) = images.small("done")
    fake.image("other:1", config, [base, other])
    assert "but its image says" in refused(engine, fake, "other:1")


def test_an_endless_body(engine: Engine, fake: Fake) -> None:
    config, base, top = unpacked("two")
    fake.image("endless:1", config, [base, top])

    def endless(handler: Handler) -> bool:
        if not handler.path.endswith(images.digest(top)):
            return False
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(bytes(65536))
        except OSError:
            pass
        handler.close_connection = True
        return True

    fake.rules.append(endless)
    assert f"the registry sends more than its {len(top)} bytes" in refused(engine, fake, "endless:1")


def test_a_manifest_without_end(engine: Engine, fake: Fake) -> None:
    fake.documents["huge/manifests/1"] = (images.MANIFEST, b'{"a":"' + b"a" * (5 << 20) + b'"}')
    assert "is larger than" in refused(engine, fake, "huge:1")


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        (b"[" * 100_000, images.MANIFEST, "not valid JSON"),
        (b"{}", images.MANIFEST, "config is not a descriptor"),
        (b'{"manifests": [], "layers": []}', images.OCI_INDEX, "ambiguous"),
        (b'{"mediaType": "' + images.OCI_INDEX.encode() + b'", "manifests": []}', images.MANIFEST, "was sent as"),
        (b'{"schemaVersion": 1, "name": "x"}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (b'{"config": {"digest": "sha256:../../x", "size": 1}, "layers": []}', images.MANIFEST, "no valid digest"),
        (b'{"config": {"digest": "sha256:%s", "size": -1}}' % (b"a" * 64), images.MANIFEST, "no valid size"),
    ],
)
def test_nonsense_instead_of_a_manifest(engine: Engine, fake: Fake, document: bytes, kind: str, words: str) -> None:
    fake.documents["nonsense/manifests/1"] = (kind, document)
    assert words in refused(engine, fake, "nonsense:1")


def test_more_layers_than_the_config_names(engine: Engine, fake: Fake) -> None:
    config, (base, top) = images.small("three")
    fake.image("many:1", config, [base, top, *[base] * 500])
    assert "its config names 2" in refused(engine, fake, "many:1")


def test_a_foreign_layer_is_not_fetched(engine: Engine, fake: Fake) -> None:
    config, layers = images.small()
    document = json.loads(images.manifest(config, layers))
    document["layers"][0] |= {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "urls": ["http://169.254.169.254/x"]
    }
    fake.image("foreign:1", config, layers)
    fake.documents["foreign/manifests/1"] = (images.MANIFEST, json.dumps(document).encode())
    assert "is foreign" in refused(engine, fake, "foreign:1")


def test_a_redirect_to_metadata_is_refused(engine: Engine, fake: Fake) -> None:
    def astray(handler: Handler) -> bool:
        if "/blobs/" in handler.path:
            send(handler, 307, headers={"Location": "http://169.254.169.254/latest/meta-data"})
            return True
        return False

    fake.image("astray:1", *images.small())
    fake.rules.append(astray)
    assert "link-local address 169.254.169.254 refused" in refused(engine, fake, "astray:1")


def test_a_circle_of_redirects_ends(engine: Engine, fake: Fake) -> None:
    fake.rules.append(lambda handler: "/manifests/" in handler.path and bool(
        send(handler, 307, headers={"Location": handler.path}) or True
    ))
    assert "stopped after 10 redirects" in refused(engine, fake, "circle:1")


def test_secrets_stay_with_the_registry_that_asked(engine: Engine, docker: Docker, fake: Fake) -> None:
    """A redirect to another host goes without Authorization."""
    with serving(engine.network, 5101, HOST) as other:
        fake.image("moved:1", *images.small("moved"))
        other.documents |= fake.documents

        def rules(handler: Handler) -> bool:
            if "Authorization" not in handler.headers:
                send(handler, 401, headers={"WWW-Authenticate": 'Basic realm="tests"'})
                return True
            if "/blobs/" in handler.path:
                send(handler, 307, headers={"Location": f"http://{other.address}{handler.path}?signed=a%2Fb"})
                return True
            return False

        fake.rules.append(rules)
        other.rules.append(lambda handler: bool(setattr(handler, "path", handler.path.partition("?")[0])))
        docker.ok("login", "-u", "alice", "-p", "secret", fake.address)
        docker.ok("pull", f"{fake.address}/moved:1")
        docker.ok("logout", fake.address)
        assert other.requests and not any("Authorization" in headers for _, headers in other.requests)
        assert any("signed=a%2Fb" in path for path, _ in other.requests)


def test_secrets_do_not_go_where_uploads_and_lists_go_on(engine: Engine, docker: Docker, fake: Fake) -> None:
    """A registry may say that these go on elsewhere, but is not told secrets for that."""
    with serving(engine.network, 5101, HOST) as other:
        elsewhere = f"http://{other.address}/v2/moved/"

        def rules(handler: Handler) -> bool:
            body(handler)
            if "Authorization" not in handler.headers:
                send(handler, 401, headers={"WWW-Authenticate": 'Basic realm="tests"'})
            elif handler.path == "/v2/":
                send(handler, 200)
            elif handler.command == "HEAD":
                send(handler, 404)
            elif handler.command == "POST":
                send(handler, 202, headers={"Location": f"{elsewhere}upload"})
            elif handler.path.endswith("/tags/list"):
                send(handler, 200, b'{"tags": []}', {"Link": f'<{elsewhere}tags>; rel="next"'})
            else:
                send(handler, 201)
            return True

        def takes(handler: Handler) -> bool:
            body(handler)
            status = {"PATCH": 202, "PUT": 201}.get(handler.command, 200)
            send(handler, status, b'{"tags": []}', {"Location": f"{elsewhere}upload"})
            return True

        fake.rules.append(rules)
        other.rules.append(takes)
        docker.ok("login", "-u", "alice", "-p", "secret", fake.address)
        docker.ok("tag", "busybox", f"{fake.address}/mine:1")
        docker.ok("push", f"{fake.address}/mine:1")
        docker("pull", "-a", f"{fake.address}/mine")
        docker.ok("logout", fake.address)
        asked = {path.partition("?")[0] for path, _ in other.requests}
        assert asked == {"/v2/moved/upload", "/v2/moved/tags"}
        assert not any("Authorization" in headers for _, headers in other.requests)


def test_a_token_server_among_the_neighbours_is_refused(engine: Engine, fake: Fake) -> None:
    def asks(handler: Handler) -> bool:
        send(handler, 401, headers={"WWW-Authenticate": 'Bearer realm="http://169.254.169.254/latest/meta-data"'})
        return True

    fake.rules.append(asks)
    assert "link-local address 169.254.169.254 refused" in refused(engine, fake, "token:1")


def test_a_token_without_end(engine: Engine, fake: Fake) -> None:
    def asks(handler: Handler) -> bool:
        if handler.path.startswith("/token"):
            send(handler, 200, b'{"token":"' + b"a" * (2 << 20) + b'"}')
        else:
            send(handler, 401, headers={"WWW-Authenticate": f'Bearer realm="http://{fake.address}/token"'})
        return True

    fake.rules.append(asks)
    assert "is larger than" in refused(engine, fake, "token:1")


def test_a_list_of_tags_without_end(engine: Engine, fake: Fake) -> None:
    page = json.dumps({"tags": [f"tag{number}" for number in range(200_000)]}).encode()

    def lists(handler: Handler) -> bool:
        if not handler.path.partition("?")[0].endswith("/tags/list"):
            return False
        send(handler, 200, page, {"Link": '</v2/endless/tags/list?last=x>; rel="next"'})
        return True

    fake.rules.append(lists)
    assert "has more than 500000 names" in engine.docker.fails("pull", "-a", f"{fake.address}/endless")


def test_a_packed_manifest_is_none(engine: Engine, fake: Fake) -> None:
    """Nobody asked for another encoding."""

    def packs(handler: Handler) -> bool:
        if "/manifests/" not in handler.path:
            return False
        packed = gzip.compress(images.manifest(b"{}", []))
        send(handler, 200, packed, {"Content-Encoding": "gzip", "Content-Type": images.MANIFEST})
        return True

    fake.rules.append(packs)
    assert "not valid JSON" in refused(engine, fake, "packed:1")


@pytest.mark.parametrize("many", [False, True], ids=["large", "many"])
def test_headers_without_end(engine: Engine, fake: Fake, many: bool) -> None:
    def floods(handler: Handler) -> bool:
        if "/manifests/" not in handler.path:
            return False
        handler.send_response(200)
        try:
            for number in range(2000):
                handler.wfile.write(b"X-%d: %s" % (number, b"a" * 5000) + (b"\r\n" if many else b""))
        except OSError:
            pass
        handler.close_connection = True
        return True

    fake.rules.append(floods)
    refused(engine, fake, "headers:1")


@pytest.mark.parametrize(
    "config", [b"[" * 100_000, b'{"config": {"Env": 5}}', b'{"history": [5]}', b'{"created": "yesterday"}']
)
def test_nonsense_instead_of_a_config(engine: Engine, fake: Fake, api: API, config: bytes) -> None:
    fake.image("config:1", config, [])
    assert "image config" in refused(engine, fake, "config:1")
    assert api("GET", "/images/json").status == 200


def test_a_broken_download_goes_on_where_it_broke(engine: Engine, docker: Docker, fake: Fake) -> None:
    config, (base, top) = images.small(secrets.token_hex(5 << 20))
    fake.image("broken:1", config, [base, top])
    tries: list[str] = []

    def breaks(handler: Handler) -> bool:
        if not handler.path.endswith(images.digest(top)):
            return False
        tries.append(handler.headers.get("Range", ""))
        if len(tries) > 1:
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(top)))
        handler.end_headers()
        handler.wfile.write(top[: len(top) // 2 + (1 << 20)])
        handler.close_connection = True
        return True

    fake.rules.append(breaks)
    docker.ok("pull", f"{fake.address}/broken:1", timeout=60)
    assert tries[0] == "" and tries[1].startswith("bytes=") and int(tries[1][6:].rstrip("-")) >= 1 << 20
    assert docker.ok("run", "--rm", f"{fake.address}/broken:1", "echo", "whole") == "whole"


def test_a_registry_without_ranges_is_read_again(engine: Engine, docker: Docker, fake: Fake) -> None:
    config, (base, top) = images.small(secrets.token_hex(5 << 20))
    fake.image("again:1", config, [base, top])
    tries: list[str] = []

    def breaks(handler: Handler) -> bool:
        if not handler.path.endswith(images.digest(top)):
            return False
        tries.append(handler.headers.get("Range", ""))
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(top)))
        handler.end_headers()
        handler.wfile.write(top[: len(top) // 2 + (1 << 20)] if len(tries) == 1 else top)
        handler.close_connection = True
        return True

    fake.rules.append(breaks)
    docker.ok("pull", f"{fake.address}/again:1", timeout=60)
    assert len(tries) == 2


def test_a_blob_is_fetched_once_for_many(engine: Engine, fake: Fake, api: API) -> None:
    """Two pulls at once; the first asker leaves in the middle, the second still gets what was begun."""
    config, (base, top) = images.small(secrets.token_hex(5 << 20))
    fake.image("shared:1", config, [base, top])
    go = threading.Event()

    def waits(handler: Handler) -> bool:
        if not handler.path.endswith(images.digest(top)):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(top)))
        handler.end_headers()
        handler.wfile.write(top[: 3 << 20])
        go.wait(30)
        handler.wfile.write(top[3 << 20 :])
        return True

    fake.rules.append(waits)
    where = with_query("/images/create", {"fromImage": f"{fake.address}/shared", "tag": "1"})
    with api.stream("POST", where) as second:
        with api.stream("POST", where) as first:
            first.until(b"Downloading")
            second.until(b"Downloading")
        go.set()
        second.until(b"Downloaded newer image")
    assert len(fake.asked(images.digest(top))) == 1


def test_a_pull_whose_client_goes_away_ends(engine: Engine, docker: Docker, fake: Fake) -> None:
    config, (base, top) = images.small("alone" * 1000)
    fake.image("alone:1", config, [base, top])
    cut = threading.Event()

    def drips(handler: Handler) -> bool:
        if not handler.path.endswith(images.digest(top)):
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(top)))
        handler.end_headers()
        try:
            handler.wfile.write(top[:100])
            for _ in range(600):
                if cut.wait(0.05):
                    break
                handler.wfile.write(b"x")
        except OSError:
            cut.set()
        handler.close_connection = True
        return True

    fake.rules.append(drips)
    child = docker.start("pull", f"{fake.address}/alone:1")
    until(lambda: fake.asked(images.digest(top)), "the layer is asked for")
    child.kill()
    child.communicate()
    until(cut.is_set, "the download is dropped")
    until(lambda: not ingests(engine), "nothing is kept of it")


def test_a_registry_that_fails_for_a_while(engine: Engine, docker: Docker, fake: Fake) -> None:
    config, layers = images.small("later")
    fake.image("later:1", config, layers)
    failed: list[str] = []

    def fails(handler: Handler) -> bool:
        if "/blobs/" in handler.path and len(failed) < 2:
            failed.append(handler.path)
            send(handler, 503)
            return True
        return False

    fake.rules.append(fails)
    assert "Downloaded newer image" in docker.ok("pull", f"{fake.address}/later:1", timeout=60)
    assert len(failed) == 2


def test_search_asks_the_index(engine: Engine, docker: Docker, fake: Fake) -> None:
    rows = [{"name": "one", "description": "first", "star_count": 7, "is_official": True, "is_automated": False},
            {"name": "two", "description": "second", "star_count": 1, "is_official": False, "is_automated": False}]

    def answers(handler: Handler) -> bool:
        if not handler.path.startswith("/v1/search?q=box&n="):
            return False
        send(handler, 200, json.dumps({"num_results": 2, "results": rows}).encode())
        return True

    fake.rules.append(answers)
    assert docker.ok("search", "--format", "{{.Name}}", f"{fake.address}/box").split() == ["one", "two"]
    assert docker.ok("search", "-f", "stars=3", "--format", "{{.Name}}", f"{fake.address}/box").split() == ["one"]
    assert docker.ok("search", "-f", "is-official=false", "--format", "{{.Name}}", f"{fake.address}/box") == "two"
    plain_answer = docker.fails("search", f"{fake.address}/nothing")
    assert "Unexpected status code 404" in plain_answer

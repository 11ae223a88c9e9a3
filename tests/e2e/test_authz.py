"""Authorization plugins under the real client: what they are shown, what they can forbid, and what stays as it was."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import plugin as fake
from tests.harness.certs import authority
from tests.harness.cli import Docker
from tests.harness.engine import Engine
from tests.harness.http import API
from tests.harness.wait import until

SOCKETS = Path("/run/docker/plugins")
NAME = f"e2e-{os.getpid()}"
REQUEST, RESPONSE = "AuthZPlugin.AuthZReq", "AuthZPlugin.AuthZRes"


class Rule:
    """What the plugin says next; everything is allowed until a test forbids something."""

    def __init__(self) -> None:
        self.forbidden = {REQUEST: "", RESPONSE: ""}
        """By method, a part of the URI."""

    def answer(self, method: str, document: dict[str, Any]) -> dict[str, Any]:
        part = self.forbidden[method]
        if part and part in document["RequestUri"]:
            return {"Allow": False, "Msg": f"no {part}"}
        return {"Allow": True}


@pytest.fixture(scope="module")
def rule() -> Rule:
    return Rule()


@pytest.fixture(scope="module")
def plugin(rule: Rule) -> Iterator[fake.Plugin]:
    SOCKETS.mkdir(parents=True, exist_ok=True)
    path = SOCKETS / f"{NAME}.sock"
    answers: dict[str, fake.Answer] = {
        REQUEST: lambda asked: rule.answer(REQUEST, asked), RESPONSE: lambda asked: rule.answer(RESPONSE, asked),
    }
    try:
        with fake.Plugin(path, implements=("authz",), answers=answers) as made:
            yield made
    finally:
        path.unlink()


@pytest.fixture(scope="module")
def guarded(plugin: fake.Plugin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    signed = authority(tmp_path_factory.mktemp("ca"))
    files = signed.server()
    tls = ["--tlsverify", f"--tlscacert={signed.ca}", f"--tlscert={files}/cert.pem", f"--tlskey={files}/key.pem"]
    with Engine("--authorization-plugin", NAME, "-H", "tcp://127.0.0.1:2376", *tls) as engine:
        engine.alice = signed.client("alice")  # type: ignore[attr-defined]
        yield engine


@pytest.fixture
def docker(guarded: Engine, rule: Rule, plugin: fake.Plugin) -> Iterator[Docker]:
    plugin.calls.clear()
    yield guarded.docker
    rule.forbidden = {REQUEST: "", RESPONSE: ""}
    for container in guarded.docker.ok("ps", "-aq").split():
        guarded.docker.ok("rm", "-f", container)


def shown(plugin: fake.Plugin, part: str, method: str = REQUEST) -> list[dict[str, Any]]:
    return [asked for asked in plugin.asked(method) if part in asked["RequestUri"]]


def test_what_runs_is_shown(docker: Docker, plugin: fake.Plugin) -> None:
    assert docker.ok("run", "--rm", "-i", "--label", "seen=yes", "busybox", "cat", stdin=b"abc") == "abc"
    (create,) = shown(plugin, "/containers/create")
    assert create["RequestMethod"] == "POST"
    assert json.loads(base64.b64decode(create["RequestBody"]))["Labels"] == {"seen": "yes"}
    (created,) = shown(plugin, "/containers/create", RESPONSE)
    assert created["ResponseStatusCode"] == 201
    assert shown(plugin, "/attach?") and shown(plugin, "/start")


def test_the_user_is_named_by_the_certificate(guarded: Engine, docker: Docker, plugin: fake.Plugin) -> None:
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(guarded.alice)}  # type: ignore[attr-defined]
    client = Docker("tcp://127.0.0.1:2376", environment, before=tuple(guarded.network.command()))
    assert client.ok("run", "--rm", "-i", "busybox", "cat", stdin=b"abc") == "abc"
    client.close()
    for asked in plugin.asked(REQUEST):
        assert (asked["User"], asked["UserAuthNMethod"]) == ("alice", "TLS")
        assert b"BEGIN CERTIFICATE" in base64.b64decode(asked["RequestPeerCertificates"][0])


def test_what_is_forbidden_does_not_happen(docker: Docker, rule: Rule) -> None:
    rule.forbidden[REQUEST] = "/containers/create"
    said = docker.fails("run", "--name", "never", "busybox", "true")
    assert f"authorization denied by plugin {NAME}: no /containers/create" in said
    assert "never" not in docker.ok("ps", "-a", "--format", "{{.Names}}")
    rule.forbidden[REQUEST] = "/exec"
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    assert "authorization denied" in docker.fails("exec", "box", "touch", "/seen")
    assert "seen" not in docker.ok("diff", "box")


def test_quick_answers_are_asked_about_too(guarded: Engine, docker: Docker, rule: Rule) -> None:
    assert guarded.api("GET", "/containers/json").status == guarded.api("GET", "/_ping").status == 200
    rule.forbidden[REQUEST] = "/"
    for path in ("/containers/json", "/_ping", "/v1.44/containers/json?all=1"):
        reply = guarded.api("GET", path)
        assert reply.status == 403
        assert reply.message == f"authorization denied by plugin {NAME}: no /"


def test_a_reply_can_be_withheld(docker: Docker, rule: Rule) -> None:
    docker.ok("run", "-d", "--name", "box", "-e", "PASSWORD=secret", "busybox", "sleep", "60")
    rule.forbidden[RESPONSE] = "/json"
    result = docker("inspect", "box")
    assert "authorization denied" in result.err and "secret" not in result.out
    rule.forbidden[RESPONSE] = ""


@pytest.mark.ours
def test_a_long_body_is_denied(guarded: Engine, docker: Docker, plugin: fake.Plugin) -> None:
    reply = guarded.api("POST", "/containers/create", {"Image": "busybox", "Env": ["A=" + "x" * (4 << 20)]})
    assert reply.status == 403
    assert "longer than the 4194304 bytes" in reply.message
    assert docker.ok("ps", "-aq") == ""


@pytest.mark.ours
def test_a_length_of_nothing_hides_no_body(guarded: Engine, docker: Docker, plugin: fake.Plugin) -> None:
    body = json.dumps({"Image": "busybox"}).encode()
    head = b"POST /containers/create HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 0\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with guarded.api.raw(head + chunks) as stream:
        seen = [base64.b64decode(each.get("RequestBody", "")) for each in shown(plugin, "/create")]
        assert seen == [body] if stream.status == 201 else stream.status == 400


def test_archives_and_streams_pass(docker: Docker, plugin: fake.Plugin, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (5 << 20))
    docker.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "echo said; sleep 60")
    docker.ok("cp", str(tmp_path / "file"), "box:/file")
    out = docker.ok("exec", "-i", "box", "sh", "-c", "wc -c </file; cat", stdin=b"abc")
    assert out.split() == [str(5 << 20), "abc"]
    assert docker.ok("logs", "box") == "said"
    (upload,) = [each for each in shown(plugin, "/archive") if each["RequestMethod"] == "PUT"]
    assert "RequestBody" not in upload


def test_info_names_it(docker: Docker) -> None:
    assert docker.ok("info", "-f", "{{.Plugins.Authorization}}") == f"[{NAME}]"


def test_the_file_names_plugins(guarded: Engine, plugin: fake.Plugin, rule: Rule, tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"authorization-plugins": [NAME]}))
    other = Engine("--config-file", str(file))
    try:
        code, said = other.fails_to_start("--authorization-plugin", NAME)
        assert code == 1 and "specified both as a flag and in the configuration file: authorization-plugins" in said
        other.start()
        rule.forbidden[REQUEST] = "/info"
        assert f"authorization denied by plugin {NAME}" in other.docker.fails("info")
        file.write_text("{}")
        os.kill(other.pid, signal.SIGHUP)
        until(lambda: other.docker("info", "-f", "{{.Plugins.Authorization}}").out.strip() == "[]", "nobody is asked")
    finally:
        rule.forbidden[REQUEST] = ""
        other.close()


def test_a_dead_plugin_allows_nothing_until_it_is_back(guarded: Engine, docker: Docker, plugin: fake.Plugin) -> None:
    api: API = guarded.api
    plugin.answers[REQUEST] = lambda _: (500, b'{"Err": "out of order"}')
    reply = api("GET", "/containers/json")
    assert reply.status == 500
    assert reply.message == f"plugin {NAME} failed with error: {REQUEST}: out of order"
    plugin.answers[REQUEST] = lambda _: {"Allow": True}
    assert api("GET", "/containers/json").status == 200

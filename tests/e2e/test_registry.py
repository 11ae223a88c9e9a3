"""pull, push, login against Debian's docker-registry, checked by skopeo and by raw HTTP."""

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.registry import send, serving
from tests.harness import images
from tests.harness.cli import Docker
from tests.harness.engine import HOST, REFERENCE, Engine
from tests.harness.registry import PASSWORD, USER, Authority, Registry, Tokens

pytestmark = pytest.mark.usefixtures("images_gone")

Fresh = Callable[..., Engine]


@pytest.fixture(scope="module")
def registry(engine: Engine) -> Iterator[Registry]:
    with Registry(engine.network, engine.root, 5000) as registry:
        yield registry


@pytest.fixture
def repository(registry: Registry, name: str) -> str:
    """A repository of the test's own: host, port and path."""
    return f"{registry.address}/tests/{name}"


def skopeo(engine: Engine, *words: str) -> str:
    done = engine.network.run("skopeo", *words, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def fetch(engine: Engine, registry: Registry, path: str) -> dict[str, object]:
    accept = ", ".join((images.MANIFEST, images.OCI_MANIFEST, images.OCI_INDEX, images.LIST))
    request = urllib.request.Request(f"http://{registry.address}/v2/{path}", headers={"Accept": accept})
    found = engine.network.call(lambda: json.load(urllib.request.urlopen(request, timeout=10)))
    assert isinstance(found, dict)
    return found


def pushed(docker: Docker, target: str) -> str:
    """Push busybox there; the digest that was printed."""
    docker.ok("tag", "busybox", target)
    out = docker.ok("push", target)
    return next(word for word in out.split() if word.startswith("sha256:"))


def test_what_is_pushed_comes_back_the_same(docker: Docker, repository: str) -> None:
    before = docker.ok("image", "inspect", "-f", "{{.Id}} {{json .RootFS}} {{json .Config}}", "busybox")
    digest = pushed(docker, f"{repository}:1")
    docker.ok("rmi", "-f", f"{repository}:1", "busybox")
    out = docker.ok("pull", f"{repository}:1")
    assert f"Digest: {digest}" in out and f"Status: Downloaded newer image for {repository}:1" in out
    assert docker.ok("image", "inspect", "-f", "{{.Id}} {{json .RootFS}} {{json .Config}}", f"{repository}:1") == before
    digests = docker.ok("image", "inspect", "-f", "{{json .RepoDigests}}", f"{repository}:1")
    assert digests == f'["{repository}@{digest}"]'
    assert docker.ok("run", "--rm", f"{repository}:1", "echo", "runs") == "runs"


def test_a_pull_draws_its_layers(docker: Docker, repository: str) -> None:
    pushed(docker, f"{repository}:1")
    docker.ok("rmi", "-f", f"{repository}:1", "busybox")
    lines = docker.ok("pull", f"{repository}:1").splitlines()
    assert lines[0] == f"1: Pulling from {repository.partition('/')[2]}"
    states = [line.partition(": ")[2] for line in lines[1:-3]]
    assert states[0] == "Pulling fs layer" and states[-1] == "Pull complete" and "Download complete" in states
    assert lines[-1] == f"{repository}:1"


def test_layers_that_are_here_are_said_to_be(docker: Docker, repository: str, name: str) -> None:
    pushed(docker, f"{repository}:base")
    docker.ok("run", "--name", name, "busybox", "touch", "/new")
    docker.ok("commit", name, f"{repository}:more")
    docker.ok("push", "-q", f"{repository}:more")
    docker.ok("rm", name)
    docker.ok("rmi", f"{repository}:more", f"{repository}:base", "busybox")
    docker.ok("pull", f"{repository}:base")
    states = [line.partition(": ")[2] for line in docker.ok("pull", f"{repository}:more").splitlines()[1:-3]]
    assert states.count("Already exists") == 1 and states.count("Pulling fs layer") == 1
    assert states[0] == "Already exists" and states[-1] == "Pull complete"


def test_a_second_pull_is_up_to_date(docker: Docker, repository: str) -> None:
    pushed(docker, f"{repository}:1")
    lines = docker.ok("pull", f"{repository}:1").splitlines()
    assert f"Status: Image is up to date for {repository}:1" in lines and len(lines) == 4


def test_what_is_up_to_date_is_asked_for_but_not_fetched(engine: Engine, docker: Docker) -> None:
    """Registries limit how often one fetches a manifest."""
    with serving(engine.network, 5012) as fake:
        fake.image("x:1", *images.small("a"))
        name, fetched = f"{fake.address}/x:1", []
        docker.ok("pull", name)
        fake.rules.append(lambda handler: fetched.append(handler.path) if handler.command == "GET" else False)
        assert f"Status: Image is up to date for {name}" in docker.ok("pull", name)
        assert not [path for path in fetched if "/manifests/" in path]
        fake.image("x:1", *images.small("b"))
        assert f"Status: Downloaded newer image for {name}" in docker.ok("pull", name)


def test_quiet_says_the_name_alone(docker: Docker, repository: str) -> None:
    pushed(docker, f"{repository}:1")
    assert docker.ok("pull", "-q", f"{repository}:1") == f"{repository}:1"


def test_by_digest(docker: Docker, repository: str) -> None:
    digest = pushed(docker, f"{repository}:1")
    docker.ok("rmi", "-f", f"{repository}:1", "busybox")
    out = docker.ok("pull", f"{repository}@{digest}")
    assert f"Status: Downloaded newer image for {repository}@{digest}" in out
    assert out.splitlines()[0] == f"{repository}@{digest}: Pulling from {repository.partition('/')[2]}"
    assert docker.ok("run", "--rm", f"{repository}@{digest}", "echo", "runs") == "runs"
    docker.ok("pull", f"{repository}:1")
    docker.ok("tag", f"{repository}:1", f"{repository}-other:1")
    docker.ok("push", "-q", f"{repository}-other:1")
    form = ("--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    assert docker.ok("images", *form, repository) == f"{repository} 1 {digest}", "only what has this name"
    docker.ok("rmi", f"{repository}-other:1", f"{repository}:1")
    docker.ok("pull", f"{repository}@{digest}")
    assert docker.ok("images", *form, repository) == f"{repository} <none> {digest}"


def test_all_tags(docker: Docker, repository: str) -> None:
    for tag in ("1", "2"):
        docker.ok("tag", "busybox", f"{repository}:{tag}")
    out = docker.ok("push", "-a", repository)
    assert "1: digest: sha256:" in out and "2: digest: sha256:" in out
    docker.ok("rmi", f"{repository}:1", f"{repository}:2")
    out = docker.ok("pull", "-a", repository)
    assert "1: Pulling from" in out and "2: Pulling from" in out
    assert sorted(docker.ok("images", "--format", "{{.Tag}}", repository).split()) == ["1", "2"]


def test_a_layer_is_pushed_once_and_mounted_elsewhere(docker: Docker, repository: str) -> None:
    pushed(docker, f"{repository}/one:1")
    assert "Layer already exists" in docker.ok("push", f"{repository}/one:1")
    docker.ok("tag", "busybox", f"{repository}/two:1")
    out = docker.ok("push", f"{repository}/two:1")
    assert "Mounted from tests/" in out
    docker.ok("rmi", f"{repository}/one:1", f"{repository}/two:1")


def test_the_same_image_is_pushed_as_the_same_manifest(docker: Docker, repository: str) -> None:
    assert pushed(docker, f"{repository}:1") == pushed(docker, f"{repository}:2")


def test_untagging_takes_the_digest_along(docker: Docker, repository: str) -> None:
    digest = pushed(docker, f"{repository}:1")
    lines = docker.ok("rmi", f"{repository}:1").splitlines()
    assert lines == [f"Untagged: {repository}:1", f"Untagged: {repository}@{digest}"]


def test_skopeo_reads_what_was_pushed(engine: Engine, docker: Docker, repository: str, tmp_path: Path) -> None:
    digest = pushed(docker, f"{repository}:1")
    found = json.loads(skopeo(engine, "inspect", "--tls-verify=false", f"docker://{repository}:1"))
    assert found["Digest"] == digest and len(found["Layers"]) == 1
    config = json.loads(skopeo(engine, "inspect", "--tls-verify=false", "--config", f"docker://{repository}:1"))
    own = docker.ok("image", "inspect", "-f", "{{json .RootFS.Layers}}", "busybox")
    assert config["rootfs"]["diff_ids"] == json.loads(own)
    skopeo(engine, "copy", "--src-tls-verify=false", f"docker://{repository}:1", f"dir:{tmp_path}/copy")


@pytest.mark.parametrize(("kind", "compression"), [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")])
def test_what_skopeo_pushed_is_pulled(
    engine: Engine, docker: Docker, repository: str, tmp_path: Path, kind: str, compression: str
) -> None:
    if REFERENCE and compression == "zstd":
        pytest.skip("docker.io 20.10 has no zstd")
    archive = tmp_path / "a.tar"
    layer = images.pack({"f": b"new"})
    archive.write_bytes(images.docker_archive("x:1", {"Env": ["A=b"], "Cmd": ["cat", "/f"]}, layer))
    skopeo(engine, "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", kind,
           "--dest-compress-format", compression, f"docker-archive:{archive}", f"docker://{repository}:s")
    assert docker.ok("run", "--rm", f"{repository}:s") == "new"
    found = json.loads(skopeo(engine, "inspect", "--tls-verify=false", f"docker://{repository}:s"))
    assert found["Digest"] in docker.ok("image", "inspect", "-f", "{{json .RepoDigests}}", f"{repository}:s")


def test_a_pulled_image_is_pushed_elsewhere_unchanged(
    engine: Engine, docker: Docker, repository: str, tmp_path: Path
) -> None:
    if REFERENCE:
        pytest.skip("docker.io 20.10 compresses anew")
    archive = tmp_path / "a.tar"
    archive.write_bytes(images.docker_archive("x:1", {"Cmd": ["true"]}))
    skopeo(engine, "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", "oci",
           f"docker-archive:{archive}", f"docker://{repository}:s")
    docker.ok("pull", f"{repository}:s")
    docker.ok("tag", f"{repository}:s", f"{repository}/copy:s")
    docker.ok("push", f"{repository}/copy:s")
    one, two = (json.loads(skopeo(engine, "inspect", "--raw", "--tls-verify=false", f"docker://{each}:s"))
                for each in (repository, f"{repository}/copy"))
    assert one == two
    docker.ok("rmi", "-f", f"{repository}/copy:s")


def test_the_platform_is_chosen(
    engine: Engine, docker: Docker, registry: Registry, repository: str, tmp_path: Path
) -> None:
    rows = []
    for architecture, text in (("s390x", "foreign"), ("amd64", "ours")):
        archive = tmp_path / f"{architecture}.tar"
        archive.write_bytes(images.docker_archive("x:1", {"Labels": {"is": text}}, architecture=architecture))
        skopeo(engine, "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", "oci",
               f"docker-archive:{archive}", f"docker://{repository}:{architecture}")
        raw = skopeo(engine, "inspect", "--raw", "--tls-verify=false", f"docker://{repository}:{architecture}").encode()
        rows.append({"mediaType": images.OCI_MANIFEST, "digest": images.digest(raw), "size": len(raw),
                     "platform": {"os": "linux", "architecture": architecture}})
    index = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": rows}).encode()
    path = repository.partition("/")[2]
    put = urllib.request.Request(f"http://{registry.address}/v2/{path}/manifests/both", index,
                                 {"Content-Type": images.OCI_INDEX}, method="PUT")
    engine.network.call(lambda: urllib.request.urlopen(put, timeout=10).close())
    out = docker.ok("pull", f"{repository}:both")
    assert f"Digest: {images.digest(index)}" in out
    assert docker.ok("image", "inspect", "-f", "{{.Config.Labels.is}}", f"{repository}:both") == "ours"
    docker.ok("pull", "--platform", "linux/s390x", f"{repository}:both")
    found = docker.ok("image", "inspect", "-f", "{{.Config.Labels.is}} {{.Architecture}}", f"{repository}:both")
    assert found == "foreign s390x"
    said = docker.fails("pull", "--platform", "linux/arm64", f"{repository}:both")
    assert "no matching manifest for linux/arm64" in said and "in the manifest list entries" in said
    said = docker.fails("pull", "--platform", "nonsense", f"{repository}:both")
    assert "unknown operating system or architecture" in said


def test_the_registry_is_described(engine: Engine, docker: Docker, repository: str) -> None:
    digest = pushed(docker, f"{repository}:1")
    found = engine.api.get(f"/distribution/{repository}:1/json")
    assert found["Descriptor"]["digest"] == digest and found["Descriptor"]["mediaType"] == images.MANIFEST
    assert found["Platforms"] == [{"architecture": "amd64", "os": "linux"}]


def test_events_tell_of_pull_and_push(engine: Engine, docker: Docker, repository: str) -> None:
    pushed(docker, f"{repository}:1")
    docker.ok("pull", f"{repository}:1")
    out = docker.ok("events", "--since", "1m", "--until=-1s", "--filter", "type=image", "--format",
                    "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}")
    assert f"push {repository}:1 {repository}" in out and f"pull {repository}:1 {repository}" in out


def test_what_is_not_there_is_said(docker: Docker, repository: str) -> None:
    pushed(docker, f"{repository}:1")
    said = docker.fails("pull", f"{repository}:nosuch")
    assert said.endswith(f"manifest for {repository}:nosuch not found: manifest unknown: manifest unknown")
    said = docker.fails("run", "--rm", f"{repository}/nosuch")
    assert f"manifest for {repository}/nosuch:latest not found" in said
    said = docker.fails("push", f"{repository}/nosuch")
    assert said.endswith(f"An image does not exist locally with the tag: {repository}/nosuch")


def test_nobody_listens(docker: Docker) -> None:
    said = docker.fails("pull", "127.0.0.1:4999/x")
    assert said.endswith('Get "http://127.0.0.1:4999/v2/": dial tcp 127.0.0.1:4999: connect: connection refused')


def test_a_tag_that_is_not_there_is_not_pushed(docker: Docker, repository: str) -> None:
    assert "An image does not exist locally with the tag" in docker.fails("push", f"{repository}:1")
    docker.ok("tag", "busybox", f"{repository}:1")
    assert f"tag does not exist: {repository}:2" in docker.fails("push", f"{repository}:2")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("page", "error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: "
                 '"<html>no</html>"'),
        ("broken", "received unexpected HTTP status: 500 Internal Server Error"),
        ("busy", "toomanyrequests: slow down"),
    ],
)
def test_what_is_no_registry_is_told_in_its_own_words(engine: Engine, docker: Docker, path: str, said: str) -> None:
    bodies = {"page": (404, b"<html>no</html>"), "broken": (500, b'{"errors":[{"code":"UNKNOWN"}]}'),
              "busy": (429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}')}
    with serving(engine.network, 5011) as fake:
        fake.rules.append(lambda handler: path in handler.path and (send(handler, *bodies[path]) or True))
        assert f"Error response from daemon: {said}" in docker.fails("pull", f"{fake.address}/{path}:1")


def test_bad_names_are_refused(docker: Docker) -> None:
    assert "invalid reference format" in docker.fails("pull", "a b")
    assert "repository name must be lowercase" in docker.fails("pull", "127.0.0.1:5000/Upper").replace("(Upper) ", "")


def test_basic_auth(engine: Engine, docker: Docker, name: str) -> None:
    with Registry(engine.network, engine.root, 5001, basic=True) as registry:
        target = f"{registry.address}/{name}:1"
        docker.ok("tag", "busybox", target)
        assert "no basic auth credentials" in docker.fails("push", target)
        said = docker.fails("login", "-u", USER, "-p", "wrong", registry.address)
        assert f"login attempt to http://{registry.address}/v2/ failed with status: 401 Unauthorized" in said
        assert "Login Succeeded" in docker.ok("login", "-u", USER, "-p", PASSWORD, registry.address)
        docker.ok("push", target)
        docker.ok("rmi", target)
        assert "Downloaded newer image" in docker.ok("pull", target)
        docker.ok("rmi", target)
        docker.ok("logout", registry.address)
        assert "no basic auth credentials" in docker.fails("pull", target)


def test_tokens(engine: Engine, docker: Docker, name: str, tmp_path: Path) -> None:
    tokens = Tokens(engine.network, tmp_path, 5009)
    try:
        with Registry(engine.network, engine.root, 5002, tokens=tokens) as registry:
            private, public = f"{registry.address}/{name}:1", f"{registry.address}/public/{name}:1"
            for each in (private, public):
                docker.ok("tag", "busybox", each)
            assert "denied: requested access to the resource is denied" in docker.fails("push", private)
            assert "incorrect username or password" in docker.fails("login", "-u", USER, "-p", "no", registry.address)
            docker.ok("login", "-u", USER, "-p", PASSWORD, registry.address)
            assert any(each.get("offline_token") == ["true"] for each in tokens.asked)
            docker.ok("push", private)
            docker.ok("push", public)
            docker.ok("rmi", private, public)
            docker.ok("pull", private)
            docker.ok("logout", registry.address)
            docker.ok("pull", public)  # by a token for nobody
            docker.ok("rmi", private, public)
            assert (
                f"pull access denied for {registry.address}/{name}, repository does not exist or may require "
                "'docker login': denied: requested access to the resource is denied"
            ) in docker.fails("pull", private)
            asked = [scope for each in tokens.asked for scope in each.get("scope", [])]
            assert f"repository:{name}:pull" in asked and any(each.startswith(f"repository:{name}:p") for each in asked)
    finally:
        tokens.close()


@pytest.fixture
def certificates() -> Iterator[Callable[[str], Path]]:
    """Directories below Docker's own place for registries' certificates, gone afterwards."""
    made: list[Path] = []
    top = Path("/etc/docker/certs.d")
    new = [each for each in (top, top.parent) if not each.exists()]

    def make(address: str) -> Path:
        folder = top / address
        folder.mkdir(parents=True)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder)
    for each in new:
        each.rmdir()


def test_an_own_authority_and_a_client_certificate(
    engine: Engine, docker: Docker, name: str, tmp_path: Path, certificates: Callable[[str], Path]
) -> None:
    authority = Authority(tmp_path / "pki", HOST)
    with Registry(engine.network, engine.root, 5443, host=HOST, tls=authority, client_ca=True) as registry:
        target = f"{registry.address}/{name}:1"
        docker.ok("tag", "busybox", target)
        assert "x509: certificate signed by unknown authority" in docker.fails("push", target)
        folder = certificates(registry.address)
        shutil.copy(authority.ca, folder / "ca.crt")
        assert "certificate" in docker.fails("push", target)
        shutil.copy(authority.client_certificate, folder / "client.cert")
        assert "missing key client.key for client certificate client.cert" in docker.fails("push", target)
        shutil.copy(authority.client_key, folder / "client.key")
        docker.ok("push", target)
        docker.ok("rmi", target)
        assert "Downloaded newer image" in docker.ok("pull", target)
        docker.ok("rmi", target)


def test_mirrors_and_insecure_networks(fresh: Fresh, tmp_path: Path) -> None:
    engine = fresh("--registry-mirror", "http://127.0.0.1:4998", "--registry-mirror", "http://127.0.0.1:5003",
                   "--insecure-registry", "198.18.0.0/24")
    authority = Authority(tmp_path / "pki", HOST)
    docker = engine.docker
    with (
        Registry(engine.network, engine.root, 5003) as mirror,
        Registry(engine.network, engine.root, 5004, host=HOST) as plain,
        Registry(engine.network, engine.root, 5005, host=HOST, tls=authority) as unverified,
    ):
        docker.ok("tag", "busybox", f"{mirror.address}/library/hubby:1")
        docker.ok("push", f"{mirror.address}/library/hubby:1")
        assert "Status: Downloaded newer image for hubby:1" in docker.ok("pull", "hubby:1")
        assert docker.ok("run", "--rm", "hubby:1", "echo", "mirrored") == "mirrored"
        assert "5003" in engine.log.read_text()
        for each in (plain, unverified):
            docker.ok("tag", "busybox", f"{each.address}/x:1")
            docker.ok("push", f"{each.address}/x:1")
            docker.ok("pull", f"{each.address}/x:1")
        shown = docker.ok("info")
        assert "http://127.0.0.1:5003/" in shown and "198.18.0.0/24" in shown


@pytest.mark.ours
def test_a_map_from_registries_to_mirrors(fresh: Fresh, tmp_path: Path) -> None:
    folder = tmp_path / "quay.io"
    folder.mkdir()
    (folder / "hosts.toml").write_text('server = "http://127.0.0.1:4997"\n[host."http://127.0.0.1:5007"]\n')
    engine = fresh("--registry-config", str(tmp_path))
    with Registry(engine.network, engine.root, 5007) as mirror:
        engine.docker.ok("tag", "busybox", f"{mirror.address}/some/thing:1")
        engine.docker.ok("push", f"{mirror.address}/some/thing:1")
        assert "Downloaded newer image for quay.io/some/thing:1" in engine.docker.ok("pull", "quay.io/some/thing:1")
        (folder / "hosts.toml").write_text("nonsense")
        assert "hosts.toml" in engine.docker.fails("pull", "quay.io/some/thing:1")


def test_a_proxy_is_asked(fresh: Fresh) -> None:
    """What listens is no proxy: it is the registry of another name, which shows where the request went."""
    if REFERENCE:
        pytest.skip("docker.io 20.10 has no such flag")
    engine = fresh("--http-proxy", "http://127.0.0.1:5008", "--insecure-registry", "registry.example")
    with serving(engine.network, 5008) as proxy:
        said = engine.docker.fails("pull", "registry.example/x:1")
        assert any(path.startswith("http://registry.example/v2/") for path, _ in proxy.requests), said


def test_docker_and_this_engine_read_each_others_images(engine: Engine, docker: Docker, repository: str) -> None:
    """The other engine, whichever this one is, in the same namespace: only its client side is used."""
    pushed(docker, f"{repository}:from")
    if REFERENCE:
        pytest.skip("shown from the other side")
    other = Engine(reference=True)
    try:
        other.start("--insecure-registry", "198.18.0.0/24")
        with Registry(other.network, other.root, 5006) as registry:
            skopeo_copy = ["skopeo", "--insecure-policy", "copy"]
            folder = other.root / "moved"
            engine.network.run(*skopeo_copy, "--src-tls-verify=false", f"docker://{repository}:from", f"dir:{folder}")
            there, form = f"{registry.address}/x:1", "{{.Id}} {{json .RootFS.Layers}}"
            done = other.network.run(*skopeo_copy, "--dest-tls-verify=false", f"dir:{folder}", f"docker://{there}")
            assert done.returncode == 0, done.stderr
            other.docker.ok("pull", there)
            ours = docker.ok("image", "inspect", "-f", form, "busybox")
            assert other.docker.ok("image", "inspect", "-f", form, there) == ours
            other.docker.ok("tag", there, f"{registry.address}/back:1")
            out = other.docker.ok("push", f"{registry.address}/back:1")
            digest = next(word for word in out.split() if word.startswith("sha256:"))
            back = other.root / "back"
            source = f"docker://{registry.address}/back:1"
            other.network.run(*skopeo_copy, "--src-tls-verify=false", source, f"dir:{back}")
            engine.network.run(*skopeo_copy, "--dest-tls-verify=false", f"dir:{back}", f"docker://{repository}:back")
            assert f"Digest: {digest}" in docker.ok("pull", f"{repository}:back")
            assert docker.ok("image", "inspect", "-f", form, f"{repository}:back") == ours
        other.stop()
    finally:
        other.close()

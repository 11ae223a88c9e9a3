"""The TLS context out of the options."""

import ssl
import subprocess
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import certificates
from services.dockerd.config import Config
from tests.harness.certs import authority


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("ca")).server()


def config(files: Path, **more: object) -> Config:
    places = {f"tls{name}": str(files / f"{name.removeprefix('ca')}.pem") for name in ("cert", "key")}
    return Config(**{"tlsverify": True, "tlscacert": str(files / "ca.pem"), **places, **more})  # type: ignore[arg-type]


def test_without_tls_there_is_none() -> None:
    assert certificates.context(Config()) is None
    assert certificates.context(Config(tls=False, tlscert="/nowhere")) is None


def test_clients_are_verified_unless_told_otherwise(files: Path) -> None:
    made = certificates.context(config(files))
    assert made and made.verify_mode is ssl.CERT_REQUIRED
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
    made = certificates.context(config(files, tlsverify=False, tlscacert="/nowhere"))
    assert made and made.verify_mode is ssl.CERT_NONE


def test_files_are_looked_for_in_dockers_directory(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", str(files))
    assert certificates.context(Config(tls=True))
    monkeypatch.delenv("DOCKER_CERT_PATH")
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(InvalidArgument, match=r'cert: "/nowhere/.docker/cert\.pem", key: "/nowhere'):
        certificates.context(Config(tls=True))


def test_what_is_wrong_is_said(files: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no pem")
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "rsa", "-aes128", "-passout", "pass:secret", "-in", files / "key.pem", "-out", locked], check=True,
        capture_output=True,
    )
    for more, text in (
        ({"tlscert": "/none.pem"}, "could not load X509 key pair .*: open /none.pem: no such file or directory"),
        ({"tlscert": str(tmp_path / "bad.pem")}, "error reading X509 key pair - make sure the key is not encrypted"),
        ({"tlskey": str(locked)}, "error reading X509 key pair .*: the key is encrypted"),
        ({"tlscacert": "/none.pem"}, 'could not read CA certificate "/none.pem": open /none.pem: no such file'),
        ({"tlscacert": str(tmp_path / "bad.pem")}, "failed to append certificates from PEM file"),
    ):
        with pytest.raises(InvalidArgument, match=f"^invalid TLS configuration: {text}"):
            certificates.context(config(files, **more))

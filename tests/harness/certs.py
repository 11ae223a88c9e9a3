"""A certificate authority of a test's own, by openssl: a server's and a client's certificates, as files."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Authority:
    """`ca.pem` and what it has signed lie in `directory`, under the names that docker's --tls… options look for."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def issue(self, name: str, usage: str, names: str = "") -> Path:
        """A directory with cert.pem and key.pem for the common name `name`, and ca.pem beside them."""
        place = self.directory / f"{usage}-{name}"
        place.mkdir()
        key, request, cert = place / "key.pem", place / "request.pem", place / "cert.pem"
        extensions = place / "extensions"
        extensions.write_text(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else ""))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.directory / "ca-key.pem", "-days", "2",
                "-set_serial", "7", "-out", cert, "-extfile", extensions)
        (place / "ca.pem").write_bytes(self.ca.read_bytes())
        return place

    def server(self, names: str = "IP:127.0.0.1,DNS:localhost") -> Path:
        return self.issue("server", "serverAuth", names)

    def client(self, name: str = "client") -> Path:
        return self.issue(name, "clientAuth")


def authority(directory: Path) -> Authority:
    """A new authority in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", directory / "ca-key.pem", "-out",
            directory / "ca.pem", "-days", "2", "-subj", "/CN=authority")
    return Authority(directory)


def openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {words}: {done.stderr}"

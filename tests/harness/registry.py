"""Debian's docker-registry in a network namespace: plain, behind TLS, with basic auth, or with tokens."""

import base64
import hashlib
import http.server
import json
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tests.harness.netns import Namespace
from tests.harness.wait import until

USER, PASSWORD = "alice", "wonderland"


class Registry:
    """A context. `address` is the host:port of image names."""

    def __init__(
        self, network: Namespace, root: Path, port: int, *, host: str = "127.0.0.1", basic: bool = False,
        tls: "Authority | None" = None, client_ca: bool = False, tokens: "Tokens | None" = None,
    ) -> None:
        self.network, self.address = network, f"{host}:{port}"
        self.root = root / f"registry-{port}"
        self.root.mkdir()
        self.log = self.root / "log"
        self.config = self.root / "config.yml"
        self.config.write_text(json.dumps(self._document(f"{host}:{port}", basic, tls, client_ca, tokens)))
        self.process: subprocess.Popen[bytes] | None = None

    def _document(
        self, address: str, basic: bool, tls: "Authority | None", client_ca: bool, tokens: "Tokens | None"
    ) -> dict[str, object]:
        http_part: dict[str, object] = {"addr": address}
        if tls:
            own: dict[str, object] = {"certificate": str(tls.certificate), "key": str(tls.key)}
            http_part["tls"] = own | ({"clientcas": [str(tls.ca)]} if client_ca else {})
        document: dict[str, object] = {
            "version": "0.1", "http": http_part, "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.root / "data")}, "delete": {"enabled": True}},
        }
        if basic:
            (self.root / "users").write_text(htpasswd(USER, PASSWORD))
            document["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.root / "users")}}
        if tokens:
            document["auth"] = {"token": {
                "realm": tokens.realm, "service": "tests", "issuer": "tests", "rootcertbundle": str(tokens.certificate)
            }}
        return document

    def __enter__(self) -> "Registry":
        with self.log.open("wb") as log:
            command = self.network.command("docker-registry", "serve", str(self.config))
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        host, _, port = self.address.rpartition(":")

        def answers() -> bool:
            try:
                self.network.connect(host, int(port)).close()
            except OSError:
                return False
            return True

        until(answers, "the registry listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)


def htpasswd(user: str, password: str) -> str:
    """A line of the only kind docker-registry takes: bcrypt."""
    import bcrypt

    return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


class Authority:
    """A certificate authority of one's own, with a certificate for `host` and one for a client."""

    def __init__(self, root: Path, host: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.ca, self.ca_key = root / "ca.crt", root / "ca.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(self.ca_key), "-out", str(self.ca),
                "-days", "2", "-subj", "/CN=tests authority")
        self.certificate, self.key = self._issue(root, "server", f"subjectAltName=IP:{host}")
        self.client_certificate, self.client_key = self._issue(root, "client", "extendedKeyUsage=clientAuth")

    def _issue(self, root: Path, name: str, extension: str) -> tuple[Path, Path]:
        key, request, certificate, extra = (root / f"{name}.{kind}" for kind in ("key", "csr", "cert", "ext"))
        extra.write_text(extension + "\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request),
                "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self.ca_key),
                "-CAcreateserial", "-out", str(certificate), "-days", "2", "-extfile", str(extra))
        return certificate, key


def openssl(*words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *words], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Tokens:
    """A token server: tokens of `lasts` seconds for USER, and for nobody to pull what is below public/."""

    def __init__(self, network: Namespace, root: Path, port: int, lasts: int = 60) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.key, self.certificate = root / "token.key", root / "token.crt"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(self.key), "-out",
                str(self.certificate), "-days", "2", "-subj", "/CN=tokens")
        self.realm = f"http://127.0.0.1:{port}/token"
        self.lasts = lasts
        self.asked: list[dict[str, list[str]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self, parse_qs(urlsplit(self.path).query))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.answer(self, parse_qs(body))

            def log_message(self, *arguments: object) -> None:
                """Silence."""

        self.server = network.call(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler: http.server.BaseHTTPRequestHandler, asked: dict[str, list[str]]) -> None:
        self.asked.append(asked)
        given = handler.headers.get("Authorization", "").removeprefix("Basic ")
        known = given == base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        refreshed = asked.get("refresh_token") == ["refresh-of-alice"]
        if (given and not known) or ("refresh_token" in asked and not refreshed):
            document, status = {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}, 401
        else:
            token = self.token([scope for each in asked.get("scope", []) for scope in each.split()], known or refreshed)
            document, status = {"token": token, "access_token": token, "expires_in": self.lasts}, 200
            if asked.get("offline_token") == ["true"]:
                document["refresh_token"] = "refresh-of-alice"
        data = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def token(self, scopes: list[str], known: bool) -> str:
        """A JSON web token as docker-registry wants it, its chain inside."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = [each for each in actions.split(",") if known or (each == "pull" and name.startswith("public/"))]
            access.append({"type": kind, "name": name, "actions": granted})
        der = openssl("x509", "-in", str(self.certificate), "-outform", "DER")
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        body = {"iss": "tests", "sub": USER, "aud": "tests", "exp": now + self.lasts, "nbf": now - 5, "iat": now,
                "jti": hashlib.sha256(str(time.time_ns()).encode()).hexdigest(), "access": access}
        text = ".".join(_url64(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{_url64(openssl('dgst', '-sha256', '-sign', str(self.key), stdin=text.encode()))}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

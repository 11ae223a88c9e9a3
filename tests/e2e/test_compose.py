"""Debian's docker-compose 1.29: a project of two services, up, scaled, stopped, started, taken down."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.wait import until

PROGRAM = shutil.which("docker-compose") or "docker-compose"
FILE = """
version: "2.4"
services:
  web:
    image: busybox
    command: ["sh", "-c", "mkdir /www; echo hello > /www/index.html; httpd -f -p 80 -h /www"]
    ports: ["18080:80"]
    healthcheck: {test: ["CMD", "wget", "-q", "-O-", "http://127.0.0.1/"], interval: 1s, retries: 9}
    environment: {A: b}
    volumes: ["data:/data"]
    networks: [front, back]
    restart: unless-stopped
    mem_limit: 64m
  worker:
    image: busybox
    command: ["sh", "-c", "wget -q -O- http://web/; sleep 300"]
    depends_on: {web: {condition: service_healthy}}
    networks: [back]
volumes: {data: {}}
networks: {front: {}, back: {ipam: {config: [{subnet: 10.77.0.0/24}]}}}
"""

Compose = Callable[..., str]


@pytest.fixture
def compose(engine: Engine, tmp_path: Path) -> Iterator[Compose]:
    (tmp_path / "docker-compose.yml").write_text(FILE)
    environment = {**os.environ, "DOCKER_HOST": f"unix://{engine.socket}", "COMPOSE_PROJECT_NAME": "demo"}

    def run(*words: str) -> str:
        command = [PROGRAM, *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run
    run("down", "-v", "-t", "0")


def test_a_project_lives(engine: Engine, compose: Compose) -> None:
    compose("up", "-d")
    shown = compose("ps")
    assert "Up (healthy)" in shown and "0.0.0.0:18080->80/tcp" in shown
    until(lambda: "hello" in compose("logs", "--no-color", "worker"), "the worker has asked the other")
    assert compose("exec", "-T", "worker", "wget", "-q", "-O-", "http://web/") == "hello\n"
    assert "A=b" in compose("exec", "-T", "web", "env").splitlines()
    compose("up", "-d", "--scale", "worker=3")
    assert compose("ps", "-q", "worker").count("\n") == 3
    compose("restart", "-t", "0", "web")
    compose("stop", "-t", "0")
    compose("start")
    assert compose("run", "--rm", "worker", "echo", "once") == "once\n"
    assert compose("port", "web", "80") == "0.0.0.0:18080\n"
    compose("down", "-v", "-t", "0")
    assert engine.docker.ok("ps", "-aq") == "" and "demo" not in engine.docker.ok("network", "ls")
    assert engine.docker.ok("volume", "ls", "-q") == ""

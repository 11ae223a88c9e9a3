"""A reboot, as far as one can be had without one: all processes, links, rules, mounts and the exec root go at once, and
the kernel's boot id, a file that each life sees in a mount namespace of its own, is another."""

import json
import shutil
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.harness import leftovers
from tests.harness.engine import Engine
from tests.harness.wait import until

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Machine(Engine):
    """An engine whose machine can go down."""

    def command(self, *flags: str) -> list[str]:
        words = super().command(*flags)
        place = words.index("--") + 1
        script = f'mount --bind {self.root}/boot_id {BOOT_ID} && exec "$@"'
        return [*words[:place], "unshare", "--mount", "sh", "-c", script, "sh", *words[place:]]

    def start(self, *flags: str, timeout: float = 40.0) -> None:
        boot = self.root / "boot_id"
        if not boot.exists():
            boot.write_text(f"{uuid.uuid4()}\n")
        super().start(*flags, timeout=timeout)

    def power_cut(self) -> None:
        self.kill()
        leftovers.sweep(self.name, self.root, self.network)
        for link in leftovers.links(self.network):
            if link.startswith("docker"):
                self.network.ip("link", "delete", link)
        for program in ("iptables", "ip6tables"):
            for words in (["-t", "nat", "-F"], ["-t", "nat", "-X"], ["-F"], ["-X"]):
                self.network.run(program, *words)
        shutil.rmtree(self.exec)
        (self.root / "boot_id").unlink()


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        yield machine


def run(machine: Machine, name: str, *flags: str) -> None:
    machine.docker.ok("run", "-d", "--init", "--name", name, *flags, "busybox", "sleep", "86400")


def state(machine: Machine, name: str) -> str:
    return machine.docker.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")


def test_policies_after_a_reboot(machine: Machine) -> None:
    docker = machine.docker
    for policy in ("no", "always", "unless-stopped", "on-failure", "on-failure:2"):
        run(machine, f"ran-{policy.replace(':', '-')}", "--restart", policy)
    for policy in ("always", "unless-stopped", "on-failure"):
        run(machine, f"stopped-{policy}", "--restart", policy)
        docker.ok("stop", f"stopped-{policy}")
    docker.ok("run", "--name", "ended", "--restart", "on-failure:1", "busybox", "true")
    run(machine, "web", "--restart", "always", "-p", "17310:80", "-v", "kept:/data")
    docker.ok("exec", "web", "sh", "-c", "echo x > /data/f; echo y > /own")
    docker.ok("network", "create", "--subnet", "10.77.0.0/24", "own")
    run(machine, "back", "--restart", "always", "--network", "own", "--ip", "10.77.0.9")
    run(machine, "gone", "--rm")
    docker.ok("pause", "ran-no")
    docker.ok("create", "--name", "never", "--restart", "always", "busybox", "true")
    pids = {name: docker.inspect(name, "{{.State.Pid}}") for name in ("web", "back")}
    machine.power_cut()
    machine.start()
    again = {"ran-always", "ran-unless-stopped", "ran-on-failure", "ran-on-failure-2", "stopped-always", "web", "back"}
    again.add("stopped-on-failure")  # by a signal, which is a failure to Docker
    until(lambda: again == set(docker.ok("ps", "--format", "{{.Names}}").split()), "those with a reason run again")
    assert state(machine, "ran-no") == "exited 255"
    assert state(machine, "stopped-unless-stopped").startswith("exited 1")
    assert state(machine, "ended") == "exited 0"
    assert state(machine, "never") == "created 0"
    assert docker.inspect("back", "{{.NetworkSettings.Networks.own.IPAddress}}") == "10.77.0.9"
    assert docker.ok("exec", "web", "cat", "/data/f", "/own").split() == ["x", "y"]
    assert {docker.inspect(name, "{{.State.Pid}}") for name in pids}.isdisjoint({"0"})
    docker.ok("exec", "-d", "web", "nc", "-ll", "-p", "80", "-e", "cat")
    until(lambda: answers(machine, 17310), "the published port leads in")
    until(lambda: docker("inspect", "gone").code, "what was to be removed is gone")


@pytest.mark.ours  # Docker's events do not outlive it
def test_end_is_told_once(machine: Machine) -> None:
    run(machine, "told")
    machine.power_cut()
    machine.start()
    machine.restart()
    reply = machine.api("GET", "/events", since="1", until=f"{time.time():.9f}", filters={"event": ["die"]})
    codes = [json.loads(line)["Actor"]["Attributes"]["exitCode"] for line in reply.body.splitlines()]
    assert codes == ["255"]
    machine.docker.ok("start", "told")
    assert machine.docker.ok("exec", "told", "echo", "on") == "on"
    assert machine.stop() == 0 and not machine.remains()


@pytest.mark.ours  # Docker ends them without live restore
def test_same_boot_is_no_reboot(machine: Machine) -> None:
    run(machine, "stays")
    pid = machine.docker.inspect("stays", "{{.State.Pid}}")
    machine.kill()
    # The next daemon lives in another mount namespace, but in the same boot.
    machine.start()
    assert machine.docker.inspect("stays", "{{.State.Status}} {{.State.Pid}}") == f"running {pid}"


def answers(machine: Machine, port: int) -> bool:
    try:
        with machine.network.connect("127.0.0.1", port) as sock:
            sock.sendall(b"hello")
            return sock.recv(5) == b"hello"
    except OSError:
        return False

"""`python -m tests.lab [--cgroups 1] COMMAND…`: boots the lab, runs each in a shell, shows what it said."""

from argparse import ArgumentParser

from tests.lab.kernel import kernel
from tests.lab.machine import Machine


def main() -> int:
    parser = ArgumentParser("tests.lab")
    parser.add_argument("--cgroups", type=int, choices=(1, 2), default=2)
    parser.add_argument("--timeout", type=float, default=600, help="seconds for each command")
    parser.add_argument("commands", nargs="+")
    flags = parser.parse_args()
    code = 0
    with Machine(kernel(), cgroups=flags.cgroups) as machine:
        for command in flags.commands:
            done = machine.run("sh", "-c", command, timeout=flags.timeout)
            print(done, flush=True)
            code = code or (1 if done.code is None else done.code)
    return code


if __name__ == "__main__":
    raise SystemExit(main())

"""Generates the Python of protos/: messages for every file, stubs of gRPC for files with a service.

`python -m tools.stubs` writes them; `--check` says which are not what the .proto files would give, and fails.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path("protos")
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(out: Path) -> None:
    files = sorted(PROTOS.rglob("*.proto"))
    services = [path for path in files if "\nservice " in path.read_text()]
    _protoc(files, f"--python_out={out}", f"--mypy_out=quiet:{out}")
    _protoc(services, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}")


def _protoc(files: list[Path], *outputs: str) -> None:
    tools = Path(sys.executable).parent
    plugins = [f"--plugin=protoc-gen-{name}={tools / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *plugins, *outputs, *files], check=True)


def generated(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for form in GENERATED for path in (root / PROTOS).rglob(form)}


def check() -> int:
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        wanted, found = generated(Path(directory)), generated(Path())
    stale = sorted(str(path) for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
    if stale:
        print("stale, run `make protos`:", *stale, sep="\n  ", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(check())
    generate(Path())

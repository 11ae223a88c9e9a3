"""Import borders: a service imports the standard library, its declared packages, `protos` and itself.

Lean processes (shim, proxy) never import what would make them heavy, and nobody extracts archives by `tarfile`.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ALLOWED = {
    "dockerd": {"aiohttp", "fastapi", "google", "grpc", "h11", "httptools", "isal", "orjson", "prometheus_client",
                "pydantic", "pydantic_core", "pyroute2", "starlette", "uvicorn", "wsproto", "yaml", "yarl",
                "zstandard"},
    "containerd": {"google", "grpc", "grpc_health", "grpc_reflection", "isal", "zstandard"},
    # Of grpc_* the messages alone.
    "shim": {"google", "grpc_health", "grpc_reflection", "h2", "hpack", "hyperframe", "msgpack"},
    "proxy": {"google", "grpc_health", "grpc_reflection", "h2", "hpack", "hyperframe"},
}
HEAVY = {"asyncio", "grpc", "pydantic", "fastapi", "pyroute2", "protos.rpc", "protos.channel"}
LEAN = {"shim", "proxy"}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def crossing(service: str, name: str) -> str:
    """Why `service` may not import `name`; empty where it may."""
    top = name.partition(".")[0]
    if service in LEAN and any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY):
        return f"{service} is a lean process"
    if name.startswith("services.") and not name.startswith(f"services.{service}"):
        return "services never import one another"
    if top in ("services", "protos") or top in sys.stdlib_module_names or top in ALLOWED[service]:
        return ""
    return f"{top} is not declared for {service}"


def main() -> int:
    broken = []
    for path in sorted(Path("services").rglob("*.py")):
        service = path.parts[1]
        if service not in ALLOWED:
            continue
        text = path.read_text()
        for line, name in imports(ast.parse(text)):
            if why := crossing(service, name):
                broken.append(f"{path}:{line}: imports {name}: {why}")
        if "tarfile" in text and ".extract" in text:
            broken.append(f"{path}: extracts by tarfile, which has been bypassed again and again")
    print("\n".join(broken) or "import borders hold", file=sys.stderr if broken else sys.stdout)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

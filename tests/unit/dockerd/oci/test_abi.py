import platform
from pathlib import Path

import pytest

from services.dockerd.oci import abi, seccomp


def test_the_native_set_runs() -> None:
    assert abi.runs("SCMP_ARCH_X86_64") and abi.runs("SCMP_ARCH_S390X")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 alone has these")
@pytest.mark.parametrize(
    ("architecture", "option"), [("SCMP_ARCH_X86", "IA32_EMULATION"), ("SCMP_ARCH_X32", "X86_X32_ABI")]
)
def test_the_answer_is_the_kernels(architecture: str, option: str) -> None:
    configuration = Path(f"/boot/config-{platform.release()}")
    if not configuration.exists():
        assert abi.runs(architecture) in (True, False)
    elif f"CONFIG_{option}=y" not in configuration.read_text():
        assert not abi.runs(architecture)


def test_rules_leave_out_what_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abi, "runs", lambda architecture: architecture != "SCMP_ARCH_X32")
    further = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    document = {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": further}]}
    assert seccomp._architectures(document, "amd64") == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert seccomp._architectures({"architectures": ["SCMP_ARCH_X32"]}, "amd64") == ["SCMP_ARCH_X32"]

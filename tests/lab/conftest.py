"""One machine for a run, booted by the first test that wants it; without qemu the tests are skipped, and say why."""

import os
from collections.abc import Iterator

import pytest

from tests.lab.kernel import Kernel, Missing, kernel
from tests.lab.machine import Machine

FULL = os.environ.get("LAB") == "full"


@pytest.fixture(scope="session")
def debian() -> Kernel:
    try:
        return kernel()
    except Missing as reason:
        pytest.skip(f"no lab here: {reason}")


@pytest.fixture(scope="session")
def lab(debian: Kernel) -> Iterator[Machine]:
    with Machine(debian) as machine:
        yield machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("thorough") and not FULL and "/lab/inside/" not in str(item.path):
            item.add_marker(pytest.mark.skip(reason="for `make test-lab`"))

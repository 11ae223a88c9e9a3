import pytest

from protos.errdefs import InvalidArgument
from services.shim.logger.options import Options


def test_nothing_asked_nothing_limited() -> None:
    assert Options.parse({}) == Options(max_size=-1, max_files=1, compress=False)


@pytest.mark.parametrize(("text", "size"), [("10m", 10_000_000), ("1k", 1000), ("1.5g", 1_500_000_000), ("7", 7)])
def test_sizes_count_in_thousands(text: str, size: int) -> None:
    assert Options.parse({"max-size": text}).max_size == size


@pytest.mark.parametrize("options", [
    {"max-size": "ten"}, {"max-file": "0"}, {"max-file": "x"}, {"compress": "maybe"}, {"compress": "true"},
    {"compress": "true", "max-file": "3"}, {"mode": "fast"}, {"max-buffer-size": "1m"},
])
def test_nonsense_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        Options.parse(options)


def test_compression_needs_files_and_a_size() -> None:
    assert Options.parse({"compress": "true", "max-file": "3", "max-size": "1m"}).compress


@pytest.mark.parametrize(("options", "buffer"), [
    ({}, -1), ({"mode": "blocking"}, -1), ({"mode": "non-blocking"}, 1 << 20),
    ({"mode": "non-blocking", "max-buffer-size": "4k"}, 4096),
])
def test_buffer_is_for_those_who_do_not_wait(options: dict[str, str], buffer: int) -> None:
    assert Options.parse(options).buffer == buffer

"""Metadata of a thin pool as thin_restore(8) writes it: no kernel with device-mapper is needed."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

BLOCK = 64 << 10


def metadata(place: Path, transaction: int, devices: Mapping[int, tuple[int, int]]) -> Path:
    """`devices`: blocks mapped and transaction by number. Skips where there is no thin_restore."""
    program = shutil.which("thin_restore", path="/usr/sbin:/sbin:/usr/bin")
    if not program:
        pytest.skip("thin_restore is not installed: make test")
    used, listed = 0, []
    for number, (mapped, made) in sorted(devices.items()):
        given = f'<range_mapping origin_begin="0" data_begin="{used}" length="{mapped}" time="0"/>' if mapped else ""
        used += mapped
        listed.append(
            f'<device dev_id="{number}" mapped_blocks="{mapped}" transaction="{made}" creation_time="0" snap_time="0">'
            f"{given}</device>"
        )
    head = f'time="0" transaction="{transaction}" version="2" data_block_size="128" nr_data_blocks="{used + 1}"'
    source = place.with_suffix(".xml")
    source.write_text(f'<superblock uuid="" {head}>{"".join(listed)}</superblock>')
    with place.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run([program, "-q", "-i", source, "-o", place], check=True, capture_output=True)
    return place

import os
from dataclasses import replace
from pathlib import Path

import pytest

from protos.errdefs import FailedPrecondition, InvalidArgument
from protos.idmap import Mapping, Owners
from services.dockerd import userns
from services.dockerd.config import Config

OWNERS = Owners(Mapping.parse("0:100000:65536"), Mapping.parse("0:200000:65536"))


def test_without_it_nothing_changes() -> None:
    assert userns.settle(Config()) == Config()


@pytest.mark.parametrize("text", [":", "a:", "a:b:c", ":b"])
def test_malformed_word_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid user/group specification in --userns-remap"):
        userns.settle(Config(userns_remap=text))


@pytest.mark.parametrize("text", ["nobody-of-that-name", "4000000000", "daemon:no-such-group", "daemon:4000000000"])
def test_unknown_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"lookup|no entry in"):
        userns.settle(Config(userns_remap=text))


def test_user_without_ranges_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"Can't create ID mappings: no subuid ranges found for user \"daemon\""):
        userns.settle(Config(userns_remap="daemon"))


def test_root_remaps_nothing() -> None:
    assert userns.settle(Config(userns_remap="root")).owners is None


def test_ranges_are_read_by_name() -> None:
    lines = ["# old", "", "a:100000:65536", "b:1:2", "a:5:6"]
    assert userns.subordinate(lines, ("a", "1000")) == [(100000, 65536), (5, 6)]
    assert len(userns.subordinate(lines)) == 3
    with pytest.raises(InvalidArgument, match="format not correct: a:1"):
        userns.subordinate(["a:1"])


def test_new_ranges_meet_no_other() -> None:
    assert userns.free([]) == 100000
    assert userns.free([(165536, 65536), (100000, 65536)]) == 231072
    assert userns.free([(99999, 2)]) == 100001


def test_reload_keeps_ids_and_root() -> None:
    before = Config(userns_remap="a", owners=OWNERS, data_root=Path("/data/100000.200000"))
    wanted = Config(userns_remap="a", data_root=Path("/data"), debug=True)
    assert userns.as_settled(before, wanted) == replace(before, debug=True)
    assert userns.as_settled(before, replace(wanted, userns_remap="b")).owners is None


def test_roots_let_root_within_pass(tmp_path: Path) -> None:
    for each in (tmp_path, *tmp_path.parents[:-2]):
        each.chmod(0o711)
    config = Config(owners=OWNERS, data_root=tmp_path / "data" / "100000.200000", exec_root=tmp_path / "exec")
    userns.open_roots(config)
    facts = config.data_root.stat()
    assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (os.getuid(), 200000, 0o710)
    tmp_path.chmod(0o700)
    with pytest.raises(FailedPrecondition, match="restricts access to the remapped root uid/gid"):
        userns.open_roots(config)

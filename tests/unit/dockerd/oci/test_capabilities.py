import pytest

from protos import errdefs
from services.dockerd.oci import capabilities
from services.dockerd.oci.defaults import CAPABILITIES


def test_default_set_is_dockers() -> None:
    assert capabilities.choose(None, None, privileged=False) == CAPABILITIES and len(CAPABILITIES) == 14


def test_names_may_lack_prefix() -> None:
    chosen = capabilities.choose(["net_admin", "CAP_SYS_TIME"], ["cap_chown", "MKNOD"], privileged=False)
    assert {"CAP_NET_ADMIN", "CAP_SYS_TIME"} <= set(chosen)
    assert not {"CAP_CHOWN", "CAP_MKNOD"} & set(chosen)


def test_all_is_understood() -> None:
    assert capabilities.choose(["KILL"], ["ALL"], privileged=False) == ("CAP_KILL",)
    everything = capabilities.choose(["ALL"], ["CHOWN"], privileged=False)
    assert set(everything) == set(capabilities.everything()) - {"CAP_CHOWN"}
    assert capabilities.choose(None, ["ALL"], privileged=True) == capabilities.everything()


def test_unknown_name_is_refused() -> None:
    with pytest.raises(errdefs.InvalidArgument, match='unknown capability: "CAP_FLY"'):
        capabilities.choose(["fly"], None, privileged=False)


def test_nothing_is_inheritable() -> None:
    assert capabilities.build(["CAP_KILL"], 0) == {
        kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")
    }
    assert capabilities.build(["CAP_KILL"], 1000) == {"bounding": ["CAP_KILL"]}

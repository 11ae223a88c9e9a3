import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import flags
from services.dockerd.flags import Flag

FLAGS = {
    flag.name: flag
    for flag in (
        Flag("debug", flags.boolean, "D"),
        Flag("host", str, "H", many=True),
        Flag("mtu", flags.integer),
        Flag("log-opt", flags.pair, pairs=True),
    )
}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--debug", "--mtu", "1400"], {"debug": True, "mtu": 1400}),
        (["--debug=false", "--mtu=1400"], {"debug": False, "mtu": 1400}),
        (["-DH", "unix:///a", "-Hunix:///b", "-H=c"], {"debug": True, "host": ["unix:///a", "unix:///b", "c"]}),
        (["--log-opt", "a=b=c", "--log-opt=d="], {"log-opt": {"a": "b=c", "d": ""}}),
        ([], {}),
    ],
)
def test_spellings_are_read(words: list[str], values: dict[str, object]) -> None:
    assert flags.parse(FLAGS, words) == values


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-z"], "unknown shorthand flag: 'z' in -z"),
        (["--mtu"], "flag needs an argument: --mtu"),
        (["-H"], "flag needs an argument: 'H' in -H"),
        (["--mtu=x"], 'invalid argument "x" for "--mtu" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["-D=x"], 'invalid argument "x" for "-D, --debug" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (["run"], '"dockerd" accepts no arguments.'),
        (["--", "run"], '"dockerd" accepts no arguments.'),
    ],
)
def test_refusals_are_dockers(words: list[str], text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        flags.parse(FLAGS, words)
    assert str(refused.value) == f"{text}\nSee 'dockerd --help'."


@pytest.mark.parametrize(
    ("text", "bytes_"), [("64m", 64 << 20), ("1GiB", 1 << 30), ("1.5k", 1536), ("12", 12), ("3b", 3)]
)
def test_sizes_have_units(text: str, bytes_: int) -> None:
    assert flags.size(text) == bytes_


@pytest.mark.parametrize(
    ("read", "text", "problem"),
    [
        (flags.size, "x", "invalid size: 'x'"),
        (flags.label, "x", "bad attribute format: x"),
        (flags.address, "x", "x is not an ip address"),
        (flags.ulimit, "bogus=1", "invalid ulimit type: bogus"),
        (flags.ulimit, "nofile=20:10", "ulimit soft limit must be less than or equal to hard limit: 20 > 10"),
        (flags.mirror, "foo", 'invalid mirror: unsupported scheme "" in "foo"'),
        (flags.mirror, "http://a/b", 'invalid mirror: path, query, or fragment at end of the URI "http://a/b"'),
        (flags.runtime, "foo", "invalid runtime argument: foo"),
        (flags.runtime, "runc=/x", "runtime name 'runc' is reserved"),
        (flags.network_opt, "bridge=mtu", "invalid key value pair format in driver options"),
        (flags.fwmark, "one", "invalid firewall mark 'one': want MARK or MARK/MASK, of 32 bits each"),
        (flags.fwmark, "0x1ffffffff", "invalid firewall mark '0x1ffffffff': out of range"),
        (flags.pool, "xx", "invalid field 'xx' must be a key=value pair"),
        (flags.pool, "base=10.0.0.0/8,size=4", "invalid pools size: 4"),
        (flags.pool, "base=10.0.0.0/8,size=33", "invalid pools size: 33"),
        (flags.domain, "-", "- is not a valid domain"),
        (flags.domain, "a_b.c", "a_b.c is not a valid domain"),
        (flags.domain, "1.2", "1.2 is not a valid domain"),
        (flags.domain, "a..b", "a..b is not a valid domain"),
    ],
)
def test_bad_values_are_named(read: object, text: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        read(text)  # type: ignore[operator]
    assert str(refused.value) == problem


def test_good_values_are_read() -> None:
    assert flags.ulimit("nofile=10:20") == ("nofile", (10, 20))
    assert flags.ulimit("core=-1") == ("core", (-1, -1))
    assert flags.network_opt("bridge=a=b=c") == ("bridge", {"a": "b=c"})
    assert [flags.fwmark(text) for text in ("1", "0x10/0xff", "2/0xffffffff")] == ["0x1", "0x10/0xff", "0x2"]
    assert flags.pool("base=10.0.0.0/8,size=24") == ("10.0.0.0/8", 24)
    assert [flags.domain(text) for text in (".", "a-1.example.", " b ")] == [".", "a-1.example.", "b"]
    assert flags.mirror("https://mirror.example") == "https://mirror.example/"
    assert flags.runtime("crun=/usr/bin/crun") == ("crun", {"path": "/usr/bin/crun"})


def test_values_print_as_go_does() -> None:
    assert flags.show({"b": "c", "a": True}) == "map[a:true b:c]"
    assert flags.show(["x", 1]) == "[x 1]"


def test_options_of_one_driver_are_gathered() -> None:
    table = {"default-network-opt": flags.Flag("default-network-opt", flags.network_opt, pairs=True)}
    words = ["--default-network-opt=bridge=a=1", "--default-network-opt=bridge=b=2", "--default-network-opt=x=c=3"]
    assert flags.parse(table, words) == {"default-network-opt": {"bridge": {"a": "1", "b": "2"}, "x": {"c": "3"}}}

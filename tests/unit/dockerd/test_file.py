import codecs

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import file
from services.dockerd.file import Entry


def refusal(text: str | bytes) -> str:
    with pytest.raises(InvalidArgument) as refused:
        file.read(text if isinstance(text, bytes) else text.encode())
    return str(refused.value)


def test_values_have_their_lines() -> None:
    text = '{\n "debug": true,\n "log-opts": {\n  "mode": "x"},\n "proxies": {\n  "http-proxy": "http://p"\n }\n}'
    assert file.read(text.encode()) == {
        "debug": Entry(True, 2), "log-opts": Entry({"mode": "x"}, 3), "proxies.http-proxy": Entry("http://p", 6),
    }


@pytest.mark.parametrize("data", [b"", b" \n\t", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"{}", b"{}"])
def test_an_empty_file_says_nothing(data: bytes) -> None:
    assert file.read(data) == {}


def test_byte_order_marks_are_read() -> None:
    wanted = {"debug": Entry(True, 1)}
    assert file.read(codecs.BOM_UTF8 + b'{"debug":true}') == wanted
    assert file.read(codecs.BOM_UTF16_LE + '{"debug":true}'.encode("utf-16-le")) == wanted
    assert file.read(codecs.BOM_UTF16_BE + '{"debug":true}'.encode("utf-16-be")) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n // no\n}', "invalid JSON: line 2, column 2: JSON has no comments"),
        ('{"debug": true /* no */}', "invalid JSON: line 1, column 16: JSON has no comments"),
        ('{\n"debug": true\n"mtu": 1}', "invalid JSON: line 3, column 1: Expecting ',' delimiter"),
        ('{"mtu": NaN}', "invalid JSON: NaN is not a number of JSON"),
        (b'{"labels":\n["\xff=1"]}', "invalid JSON: line 2: the file is not UTF-8"),
        ("[]", "the file's content must be a JSON object"),
        ('{"debug": true,\n"debug": false}', "line 2: debug stands in the file twice, in line 1 too"),
        ('{"log-opts": {"a": "1",\n"a": "2"}}', "line 2: log-opts.a stands in the file twice, in line 1 too"),
        ('{"foo": 1}', "the following directives don't match any configuration option: foo (line 1)"),
        ('{"proxies":\n{"ftp": "x"}}', "configuration option: proxies.ftp (line 2)"),
        ('{\n"log-opts":\n' + '{"a":' * 9999 + "1" + "}" * 10000, "line 3: too many objects and lists in one another"),
        ("[" * 9999, "invalid JSON: line 1: too many objects"),
        ('{\n"proxies": "x"}', "line 2: proxies: expected an object"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str | bytes, problem: str) -> None:
    assert problem in refusal(text)


def test_the_same_key_in_different_objects_is_fine() -> None:
    pools = '"default-address-pools": [{"base": "x", "size": 1},\n{"base": "y", "size": 2}]'
    text = f'{{{pools}, "log-opts": {{"mtu": "1"}}, "mtu": 2}}'
    assert file.read(text.encode())["mtu"] == Entry(2, 2)


def test_null_says_nothing() -> None:
    assert file.read(b'{"debug": null}') == {}


def test_an_empty_text_for_a_key_of_one_value_says_nothing() -> None:
    assert file.read(b'{"host-gateway-ip": ""}') == {"host-gateway-ips": Entry([], 1)}
    assert file.read(b'{"host-gateway-ip": "1.2.3.4"}') == {"host-gateway-ips": Entry(["1.2.3.4"], 1)}


def test_keys_inside_of_a_value_have_their_lines() -> None:
    text = '{"runtimes":\n{"a":\n{"path":\n"/a"}}}'
    assert file.read(text.encode())["runtimes"].within == {"a": 2, "a.path": 3}

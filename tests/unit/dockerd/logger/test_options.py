import re

import pytest

from protos import errdefs
from services.dockerd.logger import options


def check(driver: str, **given: str) -> None:
    options.check(driver, {name.replace("_", "-"): value for name, value in given.items()})


def test_known_options_pass() -> None:
    check("json-file", max_size="10m", max_file="3", compress="true", labels="a,b", tag="{{.Name}}")
    check("json-file", max_size="1.5k", mode="non-blocking", max_buffer_size="1m")
    check("local", max_size="10m", max_file="1", compress="false", env_regex="^A")
    check("journald", labels="a", tag="x", mode="blocking")
    check("syslog", syslog_address="tcp+tls://[::1]:6514", syslog_facility="local7", syslog_format="rfc5424micro")
    check("syslog", syslog_address="unixgram:///dev/null", syslog_facility="23", syslog_tls_skip_verify="1")
    check("gelf", gelf_address="udp://h:1", gelf_compression_type="none", gelf_compression_level="-1")
    check("gelf", gelf_address="tcp://h:1", gelf_tcp_max_reconnect="0", gelf_tcp_reconnect_delay="2")
    check("fluentd", fluentd_address="h", fluentd_async="true", fluentd_buffer_limit="8192", fluentd_retry_wait="1.5s")
    check("fluentd", fluentd_address="tls://h:1", fluentd_max_retries="3", fluentd_request_ack="false")
    check("fluentd", fluentd_async_reconnect_interval="250ms", cache_disabled="true", cache_max_size="1m")
    check("splunk", splunk_url="http://h:1", splunk_token="x", splunk_format="raw", tag="", splunk_gzip="true")
    check("none", anything="goes")


@pytest.mark.parametrize(
    ("driver", "given", "text"),
    [
        ("json-file", {"colour": "red"}, "unknown log opt 'colour' for json-file log driver"),
        ("json-file", {"mode": "sideways"}, "logger: logging mode not supported: sideways"),
        ("json-file", {"max_buffer_size": "1m"},
         "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
        ("json-file", {"mode": "non-blocking", "max_buffer_size": "x"},
         "error parsing option max-buffer-size: invalid size: 'x'"),
        ("local", {"colour": "red"}, "unknown log opt 'colour' for log driver local"),
        ("journald", {"max_size": "1m"}, "unknown log opt 'max-size' for journald log driver"),
        ("syslog", {"syslog_address": "http://h"}, "unsupported scheme: 'http'"),
        ("syslog", {"syslog_address": "unix:///no/such"}, "stat /no/such: no such file or directory"),
        ("syslog", {"syslog_facility": "kitchen"}, "invalid syslog facility"),
        ("syslog", {"syslog_facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog_format": "rfc1"}, "Invalid syslog format"),
        ("syslog", {"syslog_colour": "x"}, "unknown log opt 'syslog-colour' for syslog log driver"),
        ("splunk", {"splunk_colour": "x"}, "unknown log opt 'splunk-colour' for splunk log driver"),
        ("gelf", {}, "gelf-address is a required parameter"),
        ("gelf", {"gelf_address": "h:1"}, "gelf-address should be in form proto://address, got h:1"),
        ("gelf", {"gelf_address": "http://h:1"}, "gelf: endpoint needs to be TCP or UDP"),
        ("gelf", {"gelf_address": "udp://h"}, "gelf: please provide gelf-address as proto://host:port"),
        ("gelf", {"gelf_address": "udp://h:1", "x": "y"}, 'unknown log opt "x" for gelf log driver'),
        ("gelf", {"gelf_address": "tcp://h:1", "gelf_compression_type": "gzip"},
         "compression is only supported on UDP"),
        ("gelf", {"gelf_address": "udp://h:1", "gelf_compression_level": "10"},
         'unknown value "10" for log opt "gelf-compression-level" for gelf log driver'),
        ("gelf", {"gelf_address": "udp://h:1", "gelf_tcp_max_reconnect": "1"},
         '"gelf-tcp-max-reconnect" is only valid for TCP'),
        ("gelf", {"gelf_address": "tcp://h:1", "gelf_tcp_max_reconnect": "-1"},
         '"gelf-tcp-max-reconnect" must be a positive integer'),
        ("fluentd", {"fluentd_address": "http://h"}, "invalid fluentd-address (http://h): unsupported scheme: 'http'"),
        ("fluentd", {"fluentd_address": "unix://"}, "invalid fluentd-address (unix://): path is empty"),
        ("fluentd", {"fluentd_async": "x"}, 'strconv.ParseBool: parsing "x": invalid syntax'),
        ("fluentd", {"fluentd_async": "1", "fluentd_async_connect": "1"}, "conflicting options: cannot specify both"),
        ("fluentd", {"fluentd_retry_wait": "x"}, 'time: invalid duration "x"'),
        ("fluentd", {"fluentd_max_retries": "-1"}, 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("fluentd", {"fluentd_async_reconnect_interval": "1m"}, "must be between 100ms and 10s"),
        ("fluentd", {"cache_disabled": "x"}, "invalid value for option cache-disabled: x"),
        ("fluentd", {"cache_max_size": "x"}, "invalid size: 'x'"),
        ("papyrus", {}, 'error looking up logging plugin papyrus: plugin "papyrus" not found'),
    ],
)
def test_bad_options_are_refused(driver: str, given: dict[str, str], text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=re.escape(text)):
        check(driver, **given)


@pytest.mark.parametrize(
    ("driver", "given", "text"),
    [
        ("json-file", {"max-size": "big"}, "invalid size: 'big'"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ("json-file", {"compress": "true"},
         "compress cannot be true when max-file is less than 2 or max-size is not set"),
        ("json-file", {"compress": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        ("local", {"max-size": "big"}, "invalid value for max-size: big: invalid size: 'big'"),
        ("local", {"max-file": "x"}, "invalid value for max-file: x: strconv.Atoi: "),
        ("local", {"max-file": "1"}, "compression cannot be enabled when max file count is 1"),
    ],
)
def test_files_are_looked_at_when_the_driver_begins(driver: str, given: dict[str, str], text: str) -> None:
    options.check(driver, given)
    with pytest.raises(errdefs.InvalidArgument, match=f"^failed to initialize logging driver: {re.escape(text)}"):
        options.initialize(driver, given)


def test_files_that_can_be_pass() -> None:
    options.initialize("json-file", {"max-size": "10m", "max-file": "3", "compress": "true"})
    options.initialize("local", {"max-size": "10m", "max-file": "1", "compress": "false"})
    options.initialize("journald", {})


def test_a_driver_that_is_not_there_is_said() -> None:
    with pytest.raises(errdefs.Unimplemented, match="awslogs is not implemented"):
        check("awslogs")


def test_daemons_options_are_for_its_driver() -> None:
    defaults = {"max-size": "1m", "cache-disabled": "true"}
    assert options.merge("json-file", {"max-file": "2"}, "json-file", defaults) == defaults | {"max-file": "2"}
    assert options.merge("syslog", {"tag": "x"}, "json-file", defaults) == {"cache-disabled": "true", "tag": "x"}
    assert options.merge("json-file", {"max-size": "2m"}, "json-file", defaults)["max-size"] == "2m"


def test_copies_are_kept_of_what_cannot_be_read() -> None:
    assert options.cached("syslog", {}) and options.cached("gelf", {"cache-disabled": "false"})
    assert not any(options.cached(driver, {}) for driver in ("none", "local", "json-file", "journald"))
    assert not options.cached("syslog", {"cache-disabled": "true"})

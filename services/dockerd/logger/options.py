"""Log drivers and their options, as the daemon's start and create check them, in Docker's words. Pure but for one stat.

Writing is the shim's; it is given what passed here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from protos.errdefs import InvalidArgument, Unimplemented
from services.dockerd.logger import values

DRIVERS: Final = ("fluentd", "gelf", "journald", "json-file", "local", "splunk", "syslog")
"""But for `none`, which Docker does not list either."""
READABLE: Final = frozenset({"json-file", "local", "journald"})

INITIALIZE: Final = "failed to initialize logging driver"
Options = Mapping[str, str]
_ATTRIBUTES: Final = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})
_FILES: Final = frozenset({"max-file", "max-size", "compress"})
_CACHE: Final = frozenset({"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"})
_ANY: Final = frozenset({"mode", "max-buffer-size"}) | _CACHE
_LATER: Final = frozenset({"awslogs", "etwlogs", "gcplogs"})
_FACILITIES: Final = frozenset({
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
}) | {f"local{number}" for number in range(8)}


def check(driver: str, options: Options) -> None:
    """Refuse unknown drivers and options, and values that make no sense, but for those of files."""
    if driver == "none":
        return
    if driver in _LATER:
        raise Unimplemented(f"log driver {driver} is not implemented: use one of {', '.join(DRIVERS)}")
    _check_mode(options)
    _check_cache(options)
    if driver not in _CHECKS:
        raise InvalidArgument(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    _CHECKS[driver]({name: value for name, value in options.items() if name not in _ANY})


def initialize(driver: str, options: Options) -> None:
    """Refuse what Docker finds out only when a container starts: sizes and numbers of files."""
    if driver in _FILED:
        values.wrapped(INITIALIZE, lambda _: _FILED[driver](options), "")


def merge(driver: str, options: Options, default: str, defaults: Options) -> dict[str, str]:
    """A container's options and the daemon's: all where the driver is the daemon's, else those of the copy."""
    return {name: value for name, value in defaults.items() if driver == default or name in _CACHE} | dict(options)


def cached(driver: str, options: Options) -> bool:
    """Whether a copy is kept of what this driver sends away."""
    disabled = options.get("cache-disabled", "")
    return driver not in READABLE | {"none"} and not (disabled and values.truth(disabled))


def _check_mode(options: Options) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidArgument(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidArgument("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        values.wrapped("error parsing option max-buffer-size", values.size, options["max-buffer-size"])


def _check_cache(options: Options) -> None:
    if (text := options.get("cache-disabled", "")) and not values.is_truth(text):
        raise InvalidArgument(f"invalid value for option cache-disabled: {text}")
    _local_files({name.removeprefix("cache-"): options[name] for name in _CACHE if name in options})


def _known(driver: str, options: Options, names: frozenset[str], form: str) -> None:
    for name in sorted(options):
        if name not in names:
            raise InvalidArgument(form.format(name, driver))


_UNKNOWN: Final = "unknown log opt '{}' for {} log driver"


def _json_file(options: Options) -> None:
    _known("json-file", options, _ATTRIBUTES | _FILES, _UNKNOWN)


def _json_files(options: Options) -> None:
    limit = values.size(options["max-size"]) if "max-size" in options else -1
    files = values.integer(options.get("max-file", "1"))
    if files < 1:
        raise InvalidArgument("max-file cannot be less than 1")
    if values.truth(options.get("compress", "false")) and (files < 2 or limit < 0):
        raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")


def _local(options: Options) -> None:
    _known("local", options, _ATTRIBUTES | _FILES, "unknown log opt '{}' for log driver {}")


def _local_files(options: Options) -> None:
    if text := options.get("max-size"):
        values.wrapped(f"invalid value for max-size: {text}", values.size, text)
    text = options.get("max-file", "5")
    files = values.wrapped(f"invalid value for max-file: {text}", values.integer, text)
    if files < 1:
        raise InvalidArgument("max file count cannot be less than 1")
    compress = values.wrapped("error reading compress log option", values.truth, options.get("compress", "true"))
    if compress and files == 1:
        raise InvalidArgument("compression cannot be enabled when max file count is 1")


def _journald(options: Options) -> None:
    _known("journald", options, _ATTRIBUTES, _UNKNOWN)


def _syslog(options: Options) -> None:
    own = {"address", "facility", "format", "tls-ca-cert", "tls-cert", "tls-key", "tls-skip-verify"}
    _known("syslog", options, _ATTRIBUTES | {f"syslog-{name}" for name in own}, _UNKNOWN)
    if address := options.get("syslog-address", ""):
        _syslog_address(_url(address))
    facility = options.get("syslog-facility", "")
    number = int(facility) if facility.isascii() and facility.isdecimal() else -1
    if facility and facility not in _FACILITIES and not 0 <= number <= 23:
        raise InvalidArgument("invalid syslog facility")
    if options.get("syslog-format", "") not in ("", "rfc3164", "rfc5424", "rfc5424micro"):
        raise InvalidArgument("Invalid syslog format")
    values.truth(options.get("syslog-tls-skip-verify") or "false")


def _syslog_address(url: SplitResult) -> None:
    if url.scheme in ("unix", "unixgram"):
        if not Path(url.path).exists():
            raise InvalidArgument(f"stat {url.path}: no such file or directory")
    elif url.scheme not in ("udp", "tcp", "tcp+tls"):
        raise InvalidArgument(f"unsupported scheme: '{url.scheme}'")


def _gelf(options: Options) -> None:
    scheme = _gelf_address(options.get("gelf-address", ""))
    for name, value in sorted(options.items()):
        if name == "gelf-address" or name in _ATTRIBUTES:
            continue
        if name in ("gelf-compression-level", "gelf-compression-type"):
            if scheme != "udp":
                raise InvalidArgument("compression is only supported on UDP")
            if value not in (_LEVELS if name.endswith("level") else ("gzip", "zlib", "none")):
                raise InvalidArgument(f'unknown value "{value}" for log opt "{name}" for gelf log driver')
        elif name in ("gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"):
            if scheme != "tcp":
                raise InvalidArgument(f'"{name}" is only valid for TCP')
            if not (value.isascii() and value.isdecimal()):
                raise InvalidArgument(f'"{name}" must be a positive integer')
        else:
            raise InvalidArgument(f'unknown log opt "{name}" for gelf log driver')


_LEVELS: Final = tuple(str(level) for level in range(-1, 10))


def _gelf_address(text: str) -> str:
    if not text:
        raise InvalidArgument("gelf-address is a required parameter")
    url = _url(text)
    if not url.netloc and not url.scheme.startswith("unix"):
        raise InvalidArgument(f"gelf-address should be in form proto://address, got {text}")
    if url.scheme not in ("udp", "tcp"):
        raise InvalidArgument("gelf: endpoint needs to be TCP or UDP")
    if url.port is None:
        raise InvalidArgument("gelf: please provide gelf-address as proto://host:port")
    return url.scheme


def _fluentd(options: Options) -> None:
    own = {"address", "async", "async-connect", "async-reconnect-interval", "buffer-limit", "max-retries",
           "request-ack", "retry-wait", "sub-second-precision", "write-timeout"}
    _known("fluentd", options, _ATTRIBUTES | {f"fluentd-{name}" for name in own}, _UNKNOWN)
    if text := options.get("fluentd-address", ""):
        _fluentd_address(text)
    given = {name.removeprefix("fluentd-"): value for name, value in options.items() if value}
    if "buffer-limit" in given:
        values.size(given["buffer-limit"])
    if "max-retries" in given:
        values.unsigned(given["max-retries"])
    if "async" in given and "async-connect" in given:
        raise InvalidArgument("conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect'")
    for name in ("async", "async-connect", "request-ack", "sub-second-precision"):
        values.truth(given.get(name, "false"))
    for name in ("retry-wait", "write-timeout"):
        values.span(given.get(name, "0s"))
    if "async-reconnect-interval" in given:
        _reconnect_interval(given["async-reconnect-interval"])


def _reconnect_interval(text: str) -> None:
    what = "invalid value for fluentd-async-reconnect-interval"
    if not 0.1 <= values.wrapped(what, values.span, text) <= 10:
        raise InvalidArgument(f'{what}: value ("{text}") must be between 100ms and 10s')


def _fluentd_address(text: str) -> None:
    url = _url(text if "://" in text else "tcp://" + text)
    problem = ""
    if url.scheme == "unix":
        problem = "" if url.path.strip("/") else "path is empty"
    elif url.scheme not in ("tcp", "tls"):
        problem = f"unsupported scheme: '{url.scheme}'"
    elif url.path:
        problem = "should not contain a path element"
    if problem:
        raise InvalidArgument(f"invalid fluentd-address ({text}): {problem}")


def _splunk(options: Options) -> None:
    """Names alone, as in Docker: values are the sink's, which says so when a container starts."""
    own = {"url", "token", "source", "sourcetype", "index", "capath", "caname", "insecureskipverify", "format",
           "verify-connection", "gzip", "gzip-level", "index-acknowledgment"}
    _known("splunk", options, _ATTRIBUTES | {f"splunk-{name}" for name in own}, _UNKNOWN)


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  # raises where it is none
    except ValueError as error:
        raise InvalidArgument(f'parse "{text}": {error}') from error
    return url


_CHECKS: Final[dict[str, Callable[[Options], None]]] = {
    "json-file": _json_file, "local": _local, "journald": _journald, "syslog": _syslog, "gelf": _gelf,
    "fluentd": _fluentd, "splunk": _splunk,
}
_FILED: Final[dict[str, Callable[[Options], None]]] = {"json-file": _json_files, "local": _local_files}

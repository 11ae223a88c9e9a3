import logging

from services.dockerd.log import Lines, request_var


def line(message: str, **more: object) -> str:
    record = logging.LogRecord("api", logging.INFO, "", 0, message, (), None)
    record.created, record.msecs = 0.0, 7.0
    return Lines().format(record)


def test_line_is_keys_and_values() -> None:
    assert line("hello id=1") == "time=1970-01-01T00:00:00.007Z level=info module=api msg=hello id=1"


def test_request_is_named() -> None:
    token = request_var.set("2a")
    assert line("x") == "time=1970-01-01T00:00:00.007Z level=info module=api request=2a msg=x"
    request_var.reset(token)


def test_message_stays_one_line() -> None:
    assert line("a\r\ntime=0 level=error").endswith("msg=a\\r\\ntime=0 level=error")

from services.dockerd.logger import journald
from services.dockerd.logger.journald import Export

BINARY = b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"
STREAM = b"__CURSOR=c1\nMESSAGE=one=1\nPRIORITY=6\n\n__CURSOR=c2\n" + BINARY + b"PRIORITY=3\n\n"


def test_entries_are_cut_wherever_a_read_ends() -> None:
    wanted = [
        {"__CURSOR": b"c1", "MESSAGE": b"one=1", "PRIORITY": b"6"},
        {"__CURSOR": b"c2", "MESSAGE": b"a\nb", "PRIORITY": b"3"},
    ]
    for place in range(len(STREAM) + 1):
        export = Export()
        assert [*export.feed(STREAM[:place]), *export.feed(STREAM[place:])] == wanted


def test_an_entry_is_a_record_of_the_log() -> None:
    fields = {
        "MESSAGE": b"text", "PRIORITY": b"3", "SYSLOG_TIMESTAMP": b"1970-01-01T00:00:01.5Z", "_PID": b"1",
        "CONTAINER_NAME": b"box", "ROLE": b"db",
    }
    entry = journald._entry(fields)
    assert (entry.stderr, entry.time, entry.text, entry.attributes) == (True, 15 * 10**8, b"text\n", {"ROLE": "db"})


def test_a_piece_of_a_line_has_no_newline() -> None:
    entry = journald._entry({"MESSAGE": b"x", "CONTAINER_PARTIAL_MESSAGE": b"true", "__REALTIME_TIMESTAMP": b"7"})
    assert (entry.text, entry.time) == (b"x", 7000)

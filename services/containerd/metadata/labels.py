"""Labels in the database (JSON) and their update by field mask, as containerd has it; times on the wire. Pure."""

import json
from collections.abc import Iterable, Mapping, MutableMapping

from google.protobuf.timestamp_pb2 import Timestamp

from protos import errdefs
from services.containerd.identifiers import check_label


def encode(labels: Mapping[str, str]) -> str:
    """JSON of checked labels; a label with an empty value is one that is not there."""
    for key, value in labels.items():
        check_label(key, value)
    return json.dumps(dict(labels), separators=(",", ":")) if labels else "{}"


def decode(text: str) -> dict[str, str]:
    labels: dict[str, str] = {} if text == "{}" else json.loads(text)
    return labels


def merge(current: Mapping[str, str], wanted: Mapping[str, str], paths: Iterable[str]) -> dict[str, str]:
    """Labels after an update of `paths` (`labels`, `labels.KEY`, none for all); others are refused."""
    merged = dict(current)
    for path in list(paths) or ["labels"]:
        if path == "labels":
            merged = dict(wanted)
        elif path.startswith("labels."):
            merge_key(merged, wanted, path.removeprefix("labels."))
        else:
            raise errdefs.InvalidArgument(f"cannot update field {path!r}: only labels can be changed")
    return {key: value for key, value in merged.items() if value}


def merge_key(into: MutableMapping[str, str], wanted: Mapping[str, str], key: str) -> None:
    """Set one label; an empty or missing value removes it."""
    if wanted.get(key):
        into[key] = wanted[key]
    else:
        into.pop(key, None)


def stamp(nanoseconds: int) -> Timestamp:
    return Timestamp(seconds=nanoseconds // 10**9, nanos=nanoseconds % 10**9)

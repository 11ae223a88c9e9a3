"""Any <-> what containerd puts into it: event messages under their full proto name, OCI documents as JSON."""

import json
from typing import Any, Final

from google.protobuf import any_pb2
from google.protobuf.message import Message

SPEC: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
PROCESS: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"
RESOURCES: Final = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"


def from_message(message: Message) -> any_pb2.Any:
    """Pack a message as containerd does: its full name, without `type.googleapis.com/`."""
    return any_pb2.Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def to_message(packed: any_pb2.Any, into: Message) -> bool:
    """Unpack into `into`; False, and `into` untouched, where the type is another."""
    if packed.type_url.rpartition("/")[2] != into.DESCRIPTOR.full_name:
        return False
    into.ParseFromString(packed.value)
    return True


def from_json(type_url: str, document: Any) -> any_pb2.Any:
    """Pack a JSON document (an OCI spec, process or resources) under its type URL."""
    return any_pb2.Any(type_url=type_url, value=json.dumps(document, separators=(",", ":")).encode())


def to_json(packed: any_pb2.Any) -> Any:
    """The JSON document inside; ValueError where it is none."""
    return json.loads(packed.value)

"""The `filters` parameter of lists, events and prunes: `{"label":{"a=b":true}}` or `{"label":["a=b"]}` (pure).

Values of one name are alternatives, names are all required; labels are all required.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from protos import errdefs


def invalid(name: str = "", value: str | None = None) -> errdefs.InvalidArgument:
    """Docker's refusal of a filter."""
    shown = f" '{name}'" if value is None else f" '{name}={value}'"
    return errdefs.InvalidArgument("invalid filter" + (shown if name else ""))


@dataclass(frozen=True, slots=True)
class Filters:
    fields: dict[str, list[str]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def get(self, name: str) -> list[str]:
        return self.fields.get(name, [])

    def exact(self, name: str, value: str) -> bool:
        """Not asked for, or asked for with this very value."""
        return name not in self.fields or value in self.fields[name]

    def fuzzy(self, name: str, value: str) -> bool:
        """Not asked for, or asked for with a beginning of this value."""
        return name not in self.fields or any(value.startswith(each) for each in self.fields[name])

    def match(self, name: str, value: str) -> bool:
        """Not asked for, or asked for with this value or a regular expression found in it."""
        return name not in self.fields or any(each == value or _found(each, value) for each in self.fields[name])

    def labels(self, name: str, labels: Mapping[str, str]) -> bool:
        """Every `key` or `key=value` asked for is there."""
        return all(_labelled(each, labels) for each in self.get(name))

    def flag(self, name: str, default: bool) -> bool:
        """A filter that is true or false; InvalidArgument for anything else."""
        values = self.get(name)
        if not values:
            return default
        wanted = {_BOOLEANS.get(value) for value in values}
        if len(wanted) != 1 or None in wanted:
            raise invalid(name, "[" + " ".join(values) + "]")
        return wanted == {True}


_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


def _found(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return False


def _labelled(wanted: str, labels: Mapping[str, str]) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def parse(text: str | None, accepted: Collection[str]) -> Filters:
    """Decode the parameter; InvalidArgument for bad JSON and for a name that is not accepted."""
    if not text:
        return Filters()
    try:
        document = json.loads(text)
        fields = {name: _values(values) for name, values in document.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise invalid() from error
    for name in fields:
        if name not in accepted:
            raise invalid(name)
    return Filters({name: values for name, values in fields.items() if values})


def _values(values: object) -> list[str]:
    if isinstance(values, dict):
        if not all(isinstance(held, bool) for held in values.values()):
            raise TypeError("a filter's values are booleans")
        return [value for value, held in values.items() if held]
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return values
    raise TypeError("a filter is a list or an object")

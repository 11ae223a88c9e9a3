"""Words of Dockerfile instructions: split at blanks, quotes and escapes and variables resolved. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from protos.errdefs import InvalidArgument

_WORD: Final = re.compile(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s])+""", re.DOTALL)
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE: Final = re.compile(rf"\$(?:({_NAME})|\{{({_NAME})(?:(:[-+])([^}}]*))?\}})")
_WITHIN: Final = frozenset('"$\\')
"""What a backslash escapes between double quotes; before anything else it stands for itself."""


def split(text: str) -> list[str]:
    """Words as they are written; what is quoted holds together."""
    return _WORD.findall(text)


def pairs(text: str, instruction: str) -> list[tuple[str, str]]:
    """`key=value …` or the old `key value`, as they are written."""
    words = split(text)
    if "=" not in words[0]:
        if not (value := text[len(words[0]):].strip()):
            raise InvalidArgument(f"{instruction} must have two arguments")
        return [(words[0], value)]
    for word in words:
        if "=" not in word:
            raise InvalidArgument(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
    return [(key, value) for key, _, value in (word.partition("=") for word in words)]


def resolve(word: str, env: Mapping[str, str]) -> str:
    """A word without its quotes and backslashes, its variables replaced where they are not in single quotes."""
    out: list[str] = []
    quote, at = "", 0
    while at < len(word):
        sign = word[at]
        if sign == quote:
            quote = ""
        elif quote == "'" or (sign in "'\"" and quote):
            out.append(sign)
        elif sign in "'\"":
            quote = sign
        elif sign == "\\" and at + 1 < len(word) and (not quote or word[at + 1] in _WITHIN):
            at += 1
            out.append(word[at])
        elif sign == "$" and (found := _VARIABLE.match(word, at)):
            out.append(_value(found, env))
            at = found.end() - 1
        else:
            out.append(sign)
        at += 1
    if quote:
        raise InvalidArgument(f"unexpected end of statement while looking for matching {_QUOTES[quote]}")
    return "".join(out)


_QUOTES: Final = {"'": "single-quote", '"': "double-quote"}


def _value(found: re.Match[str], env: Mapping[str, str]) -> str:
    value, modifier = env.get(found[1] or found[2], ""), found[3] or ""
    if modifier == ":-":
        return value or resolve(found[4], env)
    if modifier == ":+":
        return resolve(found[4], env) if value else ""
    return value

"""Brings rules of one family into the kernel: one `iptables-restore --noflush` for all changes that wait at a moment.

Nothing of others is ever flushed or replaced. `wanted` holds every rule that should be there; when a batch is refused,
or at a start, what is there (iptables-save) is compared with it and mended.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from protos.errdefs import EngineError
from services.dockerd.network import command
from services.dockerd.network.firewall.rules import CHAINS, USER, Rule
from services.dockerd.network.threads import Threads

log = logging.getLogger("firewall")

PREFIX: Final = {4: "iptables", 6: "ip6tables"}
TABLES: Final = ("raw", "nat", "filter")

IPV6: Final = Path("/proc/net/if_inet6")
NAT_OUT: Final = ("nat", "POSTROUTING")
RAW_IN: Final = ("raw", "PREROUTING")

Lines = dict[str, list[str]]
"""Commands, or rules as saved, by table."""


class Tables:
    def __init__(self, family: int, enabled: bool, threads: Threads) -> None:
        self._threads = threads
        self.family = family
        self._prefix = PREFIX[family]
        self.enabled = enabled
        self.wanted: dict[Rule, None] = {}
        self._adding: dict[Rule, None] = {}
        self._removing: dict[Rule, None] = {}
        self._turn = asyncio.Lock()

    def want(self, rules: Iterable[Rule], *, front: bool = False) -> None:
        """Have rules in force after the next `reconcile`; those `front` come before the others."""
        fresh = dict.fromkeys(rules)
        self.wanted = fresh | self.wanted if front else self.wanted | fresh

    async def add(self, rules: Iterable[Rule]) -> None:
        """Have rules in force when this returns."""
        fresh = {rule: None for rule in rules if rule not in self.wanted}
        self.wanted |= fresh
        self._adding |= fresh
        await self._commit(fresh)

    async def remove(self, rules: Iterable[Rule]) -> None:
        gone = {rule: None for rule in rules if rule in self.wanted}
        for rule in gone:
            del self.wanted[rule]
        self._removing |= gone
        await self._commit(gone)

    async def reconcile(self, ours: Callable[[Rule], bool], policy: str = "") -> None:
        """Compare with the kernel and mend: add what is missing of `wanted`, delete what `ours` claims beyond it.

        `policy`, where given, becomes that of FORWARD.
        """
        if not self.enabled or not self._known():
            return
        async with self._turn:
            self._adding.clear()
            self._removing.clear()
            try:
                await self._threads.run(lambda: self._mend(ours, policy))
            except EngineError as error:
                if self.family == 4 or self.wanted or policy:
                    raise
                log.debug("leftovers cannot be looked for family=IPv%d error=%s", self.family, error)

    async def clear(self, policy: str = "") -> None:
        """Take out all that is wanted, and our chains if they are empty then."""
        if self.enabled and (self.wanted or policy):
            async with self._turn:
                gone, self.wanted = self.wanted, {}
                await self._threads.run(lambda: self._clear(gone, policy))

    def _known(self) -> bool:
        """IPv6 that is not there needs nothing, if nothing is wanted of it."""
        return self.family == 4 or bool(self.wanted) or (IPV6.exists() and command.there("ip6tables-save"))

    async def _commit(self, rules: dict[Rule, None]) -> None:
        """Whoever comes first takes along what others have queued meanwhile."""
        if not self.enabled or not rules:
            return
        async with self._turn:
            adding, self._adding = self._adding, {}
            removing, self._removing = self._removing, {}
            if not adding and not removing:
                return
            try:
                await self._threads.run(lambda: self._restore(changes(adding, removing)))
            except EngineError as error:
                log.warning("rules differ from what was expected, comparing them error=%s", error)
                gone = {(rule.table, str(rule)) for rule in removing}
                await self._threads.run(lambda: self._mend(lambda rule: (rule.table, str(rule)) in gone))

    def _mend(self, ours: Callable[[Rule], bool], policy: str = "") -> None:
        present = self._save()
        missing, stale = compare(self.wanted, present, ours)
        stale = [rule._replace(family=self.family) for rule in stale]
        lines = changes(missing, stale)
        for table, chains in CHAINS.items() if self.wanted else ():
            fresh = [f":{chain} - [0:0]" for chain in chains if f":{chain}" not in present[table]]
            lines[table] = fresh + lines[table]
        lines["filter"] = _policy(policy) + lines["filter"]
        if any(lines.values()):
            log.info("rules mended family=IPv%d added=%d deleted=%d", self.family, len(missing), len(stale))
            self._restore(lines)

    def _clear(self, gone: Iterable[Rule], policy: str) -> None:
        present = self._save()
        lines: Lines = {"raw": [], "nat": [], "filter": _policy(policy)}
        for rule in gone:
            if str(rule) in present[rule.table]:
                present[rule.table].remove(str(rule))
                lines[rule.table].append(f"-D {rule.chain} {rule.match}")
        for table, chains in CHAINS.items():
            for chain in chains:
                if f":{chain}" in present[table] and not _in_use(present[table], chain):
                    lines[table].append(f"-X {chain}")
        self._restore(lines)

    def _save(self) -> Lines:
        return parse(command.run((f"{self._prefix}-save",)))

    def _restore(self, lines: Lines) -> None:
        text = "".join(f"*{table}\n" + "\n".join(each) + "\nCOMMIT\n" for table, each in lines.items() if each)
        if text:
            command.run((f"{self._prefix}-restore", "--noflush", "-w", "10"), text)


def changes(adding: Iterable[Rule], removing: Iterable[Rule]) -> Lines:
    """Commands for iptables-restore."""
    lines: Lines = {table: [] for table in TABLES}
    for rule in removing:
        lines[rule.table].append(f"-D {rule.chain} {rule.match}")
    for rule in adding:
        lines[rule.table].append(f"-{'I' if rule.first else 'A'} {rule.chain} {rule.match}")
    return lines


def parse(saved: str) -> Lines:
    """What iptables-save prints: chains as `:NAME`, rules as they are."""
    lines: Lines = {table: [] for table in TABLES}
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif table in lines and line.startswith(":"):
            lines[table].append(line.split()[0])
        elif table in lines and line.startswith("-A"):
            lines[table].append(line.strip())
    return lines


def compare(wanted: Iterable[Rule], present: Lines, ours: Callable[[Rule], bool]) -> tuple[list[Rule], list[Rule]]:
    """Rules that are missing, and rules that are there though nobody wants them any more."""
    known = {(rule.table, str(rule)) for rule in wanted}
    there = {(table, line) for table in TABLES for line in present[table]}
    missing = [rule for rule in wanted if (rule.table, str(rule)) not in there]
    stale = []
    for table in TABLES:
        for line in present[table]:
            if line.startswith("-A ") and (table, line) not in known:
                _, chain, match = line.split(" ", 2)
                if ours(rule := Rule(table, chain, match)):
                    stale.append(rule)
    return missing, stale


def _policy(policy: str) -> list[str]:
    return [f":FORWARD {policy} [0:0]"] if policy else []


def _in_use(lines: list[str], chain: str) -> bool:
    """Whether somebody else's rules are in a chain, or lead to it."""
    rules = [line.split() for line in lines if line.startswith("-A")]
    return any(words[1] == chain or chain in words[2:] for words in rules)


def is_bridge_rule(rule: Rule, names: Iterable[str], subnets: Iterable[str]) -> bool:
    """Whether a rule found in the kernel is one that this engine makes for its bridges, and may take away."""
    words = rule.match.replace('"', "").split()
    if rule.chain == USER:
        return False
    if any(name in words for name in names):
        return rule.chain in CHAINS[rule.table] or (rule.table, rule.chain) in (NAT_OUT, RAW_IN)
    return rule.chain == "POSTROUTING" and "MASQUERADE" in words and any(subnet in words for subnet in subnets)

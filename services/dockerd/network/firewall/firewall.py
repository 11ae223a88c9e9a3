"""The packet filter of both families: each rule goes to its own. What has no rules is left alone but for leftovers."""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from services.dockerd.network.firewall.iptables import Tables
from services.dockerd.network.firewall.rules import Rule
from services.dockerd.network.threads import Threads

FAMILIES: Final = (4, 6)
WITHOUT_RAW: Final = "DOCKER_INSECURE_NO_IPTABLES_RAW"
"""Docker's variable for kernels that have no table raw: containers are less protected from neighbours then."""
Policies = Mapping[int, str]
"""Family to what the policy of FORWARD is to be; families left out keep theirs."""


class Firewall:
    def __init__(self, enabled: Mapping[int, bool], threads: Threads) -> None:
        """`enabled`: --iptables and --ip6tables."""
        self._policed: set[int] = set()
        """Families whose policy of FORWARD has been set."""
        self.families = {family: Tables(family, enabled[family], threads) for family in FAMILIES}

    def want(self, rules: Iterable[Rule], *, front: bool = False) -> None:
        """Have rules in force after the next `reconcile`; those `front` come before the others."""
        for family, mine in _by_family(rules).items():
            self.families[family].want(mine, front=front)

    async def add(self, rules: Iterable[Rule]) -> None:
        """Have rules in force when this returns."""
        await asyncio.gather(*(self.families[family].add(mine) for family, mine in _by_family(rules).items()))

    async def remove(self, rules: Iterable[Rule]) -> None:
        await asyncio.gather(*(self.families[family].remove(mine) for family, mine in _by_family(rules).items()))

    async def reconcile(self, ours: Callable[[Rule], bool], policies: Policies) -> None:
        """Compare with the kernel and mend: add what is missing, delete what `ours` claims beyond it."""
        self._policed.update(policies)
        await asyncio.gather(
            *(tables.reconcile(ours, policies.get(family, "")) for family, tables in self.families.items()))

    async def clear(self, policies: Policies) -> None:
        """Take out all that is wanted, and our chains if they are empty then."""
        for family, tables in self.families.items():
            await tables.clear(policies.get(family, ""))

    async def open(self, base: Iterable[Rule], policies: Policies) -> None:
        """Have `base` before all other rules, and the policies in force."""
        for family, mine in _by_family(base).items():
            tables = self.families[family]
            fresh = [rule for rule in mine if rule not in tables.wanted]
            tables.want(fresh, front=True)
            policy = "" if family in self._policed else policies.get(family, "")
            if fresh or policy:
                await tables.reconcile(lambda rule: False, policy)
        self._policed.update(policies)


def _by_family(rules: Iterable[Rule]) -> dict[int, list[Rule]]:
    found: dict[int, list[Rule]] = {}
    for rule in rules:
        if rule.table != "raw" or os.environ.get(WITHOUT_RAW) != "1":
            found.setdefault(rule.family, []).append(rule)
    return found

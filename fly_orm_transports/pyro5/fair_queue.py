"""Places that are shared fairly between networks: whoever takes the most of them pays for the newcomers."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class _Network(Generic[T]):
    """The items of one network. Dictionaries serve as ordered sets here."""

    def __init__(self) -> None:
        self.plain: dict[T, None] = {}
        self.preferred: dict[T, None] = {}

    def __len__(self) -> int:
        return len(self.plain) + len(self.preferred)

    @property
    def first(self) -> T:
        """The item that loses its place first."""
        return next(iter(self.plain or self.preferred))


class FairQueue(Generic[T]):
    """A bounded number of items, each of a network. Not thread-safe. No operation takes longer for many items."""

    def __init__(self, size: int, size_per_network: int) -> None:
        self._size, self._size_per_network = size, size_per_network
        self._all: dict[T, str] = {}
        self._networks: dict[str, _Network[T]] = {}
        self._by_count: dict[int, dict[str, None]] = {}
        """The networks that have so many items. Only counts that a network has are among the keys."""
        self._most = 0

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, item: T) -> bool:
        return item in self._all

    def snapshot(self) -> list[T]:
        """All items, the oldest first."""
        return list(self._all)

    def crowd(self, item: T) -> int:
        """How many items the network of this one has; 0 if the item is not there."""
        network = self._all.get(item)
        return 0 if network is None else len(self._networks[network])

    @property
    def oldest(self) -> T | None:
        """The item that was added first, of any network; None if there is none."""
        return next(iter(self._all), None)

    @property
    def next_to_go(self) -> T | None:
        """The item that has to go if a place is needed: of the network with the most items, the oldest that is not
        preferred, or else the oldest. None if there is no item.
        """
        if not self._all:
            return None
        return self._networks[next(iter(self._by_count[self._most]))].first

    def add(self, item: T, network: str) -> T | None:
        """Add an item. Returns the one that it displaces, if any, which is no longer there.

        That is :attr:`next_to_go` if all places are taken. It is one of its own network if this has as many as a
        network may have, or as any other has.
        """
        own, is_full = self._networks.get(network), len(self._all) >= self._size
        displaced = self.next_to_go if is_full else None
        if own is not None and len(own) >= min(self._size_per_network, self._most if is_full else self._size):
            displaced = own.first
        if displaced is not None:
            self.remove(displaced)
        self._all[item] = network
        items = self._networks.setdefault(network, _Network())
        items.plain[item] = None
        self._count(network, len(items) - 1, len(items))
        return displaced

    def prefer(self, item: T) -> None:
        """Let the items of its network that are not preferred go before this one."""
        items = self._networks[self._all[item]]
        if item in items.plain:
            del items.plain[item]
            items.preferred[item] = None

    def remove(self, item: T) -> None:
        """Remove an item, if it is there."""
        if (network := self._all.pop(item, None)) is None:
            return
        items = self._networks[network]
        del (items.plain if item in items.plain else items.preferred)[item]
        self._count(network, len(items) + 1, len(items))
        if not items:
            del self._networks[network]

    def _count(self, network: str, before: int, after: int) -> None:
        """Note that the network has one item more, or one less."""
        if before:
            del self._by_count[before][network]
            if not self._by_count[before]:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, {})[network] = None
        if after > self._most or (before == self._most and before not in self._by_count):
            self._most = after

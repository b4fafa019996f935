"""Nodes that a test lists, and none of which can be reached."""

from __future__ import annotations

from fly_orm import Node, NotDelivered
from fly_orm.deadline import Deadline
from fly_orm.discovery.static import StaticDiscovery

AT_ONCE = Deadline(at=0.0, timeout=0)


NEVER = 600.0


class Listed(StaticDiscovery):
    """The nodes that a test lists, some of which are seen only when a region is looked up afresh."""

    def __init__(self, *addresses):
        self.now = self.later = tuple(node(address) for address in addresses)
        self.refreshes = 0

    def nodes(self, region, deadline):
        return self.now if region == "syd" else ()

    def regions(self, deadline):
        return ["syd"]

    def refresh(self, region, deadline):
        if deadline.timeout != 0:
            self.refreshes += 1
            self.now = self.later

    def describe(self, region):
        return "a list"


class Refusing:
    """A transport to nodes none of which is there."""

    def connect(self, address, deadline):
        raise NotDelivered(f"nobody at {address}")

    def is_local(self, address):
        return True


def node(address):
    return Node(region="syd", address=address)

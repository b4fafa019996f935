"""The networks that peers come from, as far as strangers are counted by them."""

from __future__ import annotations

import ipaddress

#: A single customer of a provider has at least this much of IPv6 (RFC 6177), so its addresses count as one.
_IPV6_PREFIX = 64


def network_of(host: str) -> str:
    """The IPv4 address itself, or the /64 of an IPv6 address."""
    text = host.partition("%")[0]
    if ":" not in text:
        return text
    address = ipaddress.IPv6Address(text)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _IPV6_PREFIX), strict=False))

from collections import Counter

import pytest

from scripts.comparison.sticky import addresses, ip_hash


def test_a_network_goes_to_one_node_as_with_nginx() -> None:
    assert len({ip_hash(f"203.0.113.{last}", 16) for last in range(256)}) == 1


def test_the_hash_is_that_of_nginx() -> None:
    key = 89
    for octet in (192, 168, 7):
        key = (key * 113 + octet) % 6271
    assert ip_hash("192.168.7.1", 5) == key % 5


@pytest.mark.parametrize("nodes", [2, 4, 16])
def test_users_spread_over_the_nodes(nodes: int) -> None:
    counts = Counter(ip_hash(address, nodes) for address in addresses(4000, 1))
    assert len(counts) == nodes
    assert max(counts.values()) < 1.3 * 4000 / nodes


def test_addresses_are_the_same_each_time() -> None:
    assert addresses(3, 1) == addresses(3, 1) != addresses(3, 2)

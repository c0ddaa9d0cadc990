"""deploy/nginx, with the nginx of Debian in front of real nodes."""

import re
from pathlib import Path
from typing import ClassVar

from tests.deploy.behind import PING_S, join
from tests.deploy.choosing import Choosing
from tests.deploy.passing import Passing
from tests.support.balancers import HOST, NGINX, NODES, Balancer, Kind
from tests.support.cluster import Cluster
from tests.support.documents import ROOT, read
from tests.support.valkey import free_port
from tests.support.waiting import eventually


class TestNginx(Choosing, Passing):
    kind: ClassVar[Kind] = NGINX

    def test_no_time_limit_is_shorter_than_two_pings(self) -> None:
        shipped = (ROOT / "deploy/nginx/switchboard.conf").read_text()
        told = re.compile(r"^ *((?:proxy_)?(?:read|send)_timeout) (\d+)s;", re.MULTILINE)
        limits = dict(told.findall(shipped))
        assert set(limits) == {"proxy_read_timeout", "proxy_send_timeout", "send_timeout"}
        assert all(float(seconds) > 2 * PING_S for seconds in limits.values())

    def test_what_the_page_adds_to_nginx_conf_is_taken_without_a_warning(
        self, tmp_path: Path
    ) -> None:
        (block,) = (f for f in read("deploy/nginx/README.md").fences if f.language == "nginx")
        addresses = [f"{HOST}:{free_port()}" for _ in range(NODES)]
        balancer = Balancer(NGINX, tmp_path / "balancer", addresses, beside=block.text)
        assert not re.search(r"warn|alert|emerg", balancer.check())

    async def test_the_log_says_which_nodes_were_tried_and_what_they_answered(
        self, cluster: Cluster, balancer: Balancer
    ) -> None:
        leaving = cluster.nodes[0]
        leaving.drain.begun = True
        for number in range(24):
            await (await join(balancer, f"u{number}")).close()
        leaving.drain.begun = False
        tried = rf'GET /ws 101 nodes="{leaving.address}, [\d.:]+" answers="503, 101"'
        await eventually(lambda: re.search(tried, balancer.said), what=tried)

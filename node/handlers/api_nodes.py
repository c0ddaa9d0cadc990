"""The cluster over HTTP: its nodes, its sums, and what the API looks like."""

from node.handlers.base import ApiHandler, Source, operation
from node.handlers.problem import ProblemHandler
from node.handlers.schemas import NoInput
from node.views import Nodes, Stats, nodes, stats


class NodesHandler(ApiHandler):
    """`GET /api/v1/nodes`."""

    @operation("List the nodes", source=Source.NOWHERE, takes=NoInput, gives=Nodes)
    async def get(self, _: NoInput) -> None:
        """Answer with every node that has not been cleaned up."""
        self.answer(nodes(await self.router.nodes()))


class StatsHandler(ApiHandler):
    """`GET /api/v1/stats`."""

    @operation("Sum up the cluster", source=Source.NOWHERE, takes=NoInput, gives=Stats)
    async def get(self, _: NoInput) -> None:
        """Answer with the sums over the nodes."""
        self.answer(stats(await self.router.nodes()))

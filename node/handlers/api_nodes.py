"""The cluster over HTTP: its nodes, its sums, and what the API looks like."""

from node import views
from node.auth import Scope
from node.handlers.base import ApiHandler, Source, operation
from node.handlers.schemas import NoInput
from router.model import endpoint_name


class NodesHandler(ApiHandler):
    """`GET /api/v1/nodes`."""

    @operation(
        "List the nodes", scope=Scope.READ, source=Source.NOWHERE, takes=NoInput, gives=views.Nodes
    )
    async def get(self, _: NoInput) -> None:
        """Answer with every node that has not been cleaned up."""
        self.answer(views.nodes(await self.router.nodes()))


class DrainHandler(ApiHandler):
    """`POST /api/v1/nodes/{node}/drain`."""

    @operation(
        "Tell a node to leave",
        scope=Scope.ADMIN,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=views.Drained,
        statuses=(202,),
    )
    async def post(self, _: NoInput, node: str) -> None:
        """Answer when the node has the order; `GET /api/v1/nodes` shows how far it is."""
        endpoint = await self.router.drain(node)
        self.answer(views.Drained(endpoint_name(endpoint), endpoint), 202)


class StatsHandler(ApiHandler):
    """`GET /api/v1/stats`."""

    @operation(
        "Sum up the cluster",
        scope=Scope.READ,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=views.Stats,
    )
    async def get(self, _: NoInput) -> None:
        """Answer with how messages travel, and with the sums over the nodes."""
        member = self.router.member
        endpoints = await self.router.nodes()
        mode = member.settings.delivery.mode
        self.answer(views.stats(endpoints, mode, member.transport.confirms))


class DocumentHandler(ApiHandler):
    """`GET /api/v1/openapi.json`."""

    @operation(
        "Describe this API", scope=Scope.READ, source=Source.NOWHERE, takes=NoInput, gives=None
    )
    async def get(self, _: NoInput) -> None:
        """Answer with the OpenAPI document."""
        self.set_header("Content-Type", "application/json")
        self.finish(self.context.document)

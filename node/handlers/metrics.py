"""What a node has counted, over HTTP."""

from tornado.web import HTTPError

from node.auth import Scope
from node.handlers.base import ApiHandler, Source, operation
from node.handlers.schemas import NoInput


class MetricsHandler(ApiHandler):
    """`GET /metrics`."""

    @operation(
        "Show what this node has counted, for Prometheus",
        scope=Scope.READ,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=None,
        media_type="text/plain",
    )
    async def get(self, _: NoInput) -> None:
        """Answer in the text format, or in OpenMetrics if asked for it.

        Raises:
            HTTPError: 404 while `node.metrics` is off.
        """
        if self.context.metrics is None:
            raise HTTPError(404)
        page, content_type = await self.context.metrics.page(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(page)

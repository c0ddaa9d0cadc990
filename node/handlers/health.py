"""Whether the process is up, and whether new sessions should come to it."""

from node import views
from node.handlers.base import ApiHandler, Source, operation
from node.handlers.schemas import NoInput


class HealthHandler(ApiHandler):
    """`GET /healthz`: the process is up and its event loop turns; it asks nobody else."""

    @operation(
        "Say that the process is up",
        scope=None,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=views.Health,
    )
    async def get(self, _: NoInput) -> None:
        """Answer."""
        self.answer(views.Health(ok=True))

    head = get


class ReadyHandler(ApiHandler):
    """`GET /readyz`: 200 while new sessions may come here, else 503 and why not."""

    @operation(
        "Say whether new sessions should come here",
        scope=None,
        source=Source.NOWHERE,
        takes=NoInput,
        gives=views.Readiness,
        statuses=(200, 503),
    )
    async def get(self, _: NoInput) -> None:
        """Answer from what the node knows already."""
        reason = self.context.not_ready()
        if reason is None:
            self.answer(views.Readiness(ready=True))
        else:
            self.answer(views.Readiness(ready=False, reason=reason), 503)

    head = get

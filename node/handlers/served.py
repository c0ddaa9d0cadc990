"""What a node serves where: to users, and to the programs and people who run things."""

from dataclasses import dataclass
from typing import Any

from tornado.web import Application

from node.handlers import api, pages
from node.handlers.base import ApiContext
from node.handlers.feed import FeedContext, FeedHandler
from node.handlers.problem import NotFound
from node.handlers.ws import ClientHandler, WebSocketContext
from router.settings import Settings


@dataclass(frozen=True, slots=True)
class Served:
    """The addresses of a node, all at one port, or the API's at one of its own.

    Args:
        settings: of the node.
        sockets: for the WebSocket of users.
        api: for the API.
        feed: for the WebSocket of the operator's page.
    """

    settings: Settings
    sockets: WebSocketContext
    api: ApiContext
    feed: FeedContext

    def routes(self) -> list[Any]:
        """Return the Tornado routes for where users come: with the API, unless that is apart."""
        of_api = api.public_routes(self.api) if self.settings.api.apart else self._of_api()
        return [(r"/ws", ClientHandler, {"context": self.sockets}), *of_api]

    def _of_api(self) -> list[Any]:
        return [(r"/dashboard/feed", FeedHandler, {"context": self.feed}), *api.routes(self.api)]

    def app_settings(self) -> dict[str, Any]:
        """Return what `tornado.web.Application` must be told for these routes."""
        return {
            "websocket_max_message_size": self.settings.node.max_message_bytes,
            "log_function": lambda handler: None,
            "default_handler_class": NotFound,
        }

    def public(self) -> Application:
        """Return what is served where users come.

        The page to try it all by hand is there only where nobody is asked who they are: elsewhere
        it could show nothing, and would tell strangers what this is.
        """
        if self.settings.api.apart:
            shown = pages.client_routes()
        else:
            shown = pages.routes(demo=self.settings.auth.mode == "dev")
        return Application([*self.routes(), *shown], **self.app_settings())

    def apart(self) -> Application | None:
        """Return what is served at the API's own port; None when it has none."""
        if not self.settings.api.apart:
            return None
        return Application([*self._of_api(), *pages.routes(demo=False)], **self.app_settings())

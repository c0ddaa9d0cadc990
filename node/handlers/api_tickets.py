"""One-time tickets over HTTP: for a user's own token, or for whom a backend names."""

from node import views
from node.auth import Scope, apikeys
from node.auth.bearer import bearer_of
from node.auth.tickets import TicketOrder, is_ticket
from node.handlers.base import ApiContext, ApiHandler, operation
from node.identity import Identity
from router.errors import Forbidden, InvalidRequest, SwitchboardError, Unauthenticated
from router.settings import AuthSettings


class TicketsHandler(ApiHandler):
    """`POST /api/v1/tickets`; it is also where only users come, and there it takes no keys."""

    def initialize(self, context: ApiContext, *, takes_keys: bool = True) -> None:
        """See `tornado.web.RequestHandler.initialize`.

        Args:
            context: as of every handler.
            takes_keys: whether a key of the API counts here, too.
        """
        super().initialize(context)
        self._takes_keys = takes_keys
        self._caller: Identity | None = None

    async def prepare(self) -> None:
        """Find out who asks, before anything of the body is kept; raises as `ApiHandler`."""
        refusal: SwitchboardError | None = None
        try:
            self._caller = await self._who()
        except SwitchboardError as exc:
            refusal = exc
        self.refuse_early(refusal)

    @operation(
        "Make a one-time ticket for a WebSocket: with a user's token for that user, with a key for "
        "whom it names",
        scope=Scope.ADMIN,
        takes=TicketOrder,
        gives=views.Ticket,
        statuses=(201,),
    )
    async def post(self, order: TicketOrder) -> None:
        """Make it, and answer with it."""
        caller = self._caller
        holder = order.identity(self._auth) if caller is None else _own(order, caller)
        ticket = await self.context.tickets.issue(holder, order.ttl_s)
        self.answer(views.Ticket(ticket.text, ticket.expires_at), 201)

    @property
    def _auth(self) -> AuthSettings:
        return self.router.member.settings.auth

    async def _who(self) -> Identity | None:
        """Return the user who asks; None for a caller who may name any user.

        Raises:
            Unauthenticated, Forbidden: neither.
        """
        if self.request.method != "POST":
            return None
        gate = self.context.gate
        bearer = bearer_of(self.request)
        given = "" if bearer is None else bearer.token
        if is_ticket(given):
            raise Unauthenticated("token: a ticket is for one connection, and not for more tickets")
        if self._takes_keys and (not gate.wants_keys or given.startswith(apikeys.PREFIX)):
            gate.authorize(self.request, Scope.ADMIN)
            return None
        if not gate.allows_origin(self.request):
            raise Forbidden("Origin: pages from elsewhere may not; auth.origins lists who may")
        return await gate.identify(self.request)


def _own(order: TicketOrder, caller: Identity) -> Identity:
    """Return whom a ticket is for that a user asks for: the same user, with the same rights.

    Raises:
        Forbidden: it is for another user or device.
        InvalidRequest: it names rights.
    """
    if order.user not in (None, caller.user):
        raise Forbidden("user: with a user's token, a ticket can only be for that user")
    if caller.device is not None and order.device not in (None, caller.device):
        raise Forbidden(f"device: this token is for the device '{caller.device}' only")
    for name in ("can", "to"):
        if getattr(order, name) is not None:
            raise InvalidRequest(name, "a ticket for one's own token has the rights of that token")
    return order.bound_to(caller)

"""Taking over the dead: fence an endpoint whose lease has ended, send its inbox on, clean up.

Resumable at every point, by anybody: a rescuer that dies is followed by another when its token
ends. A brake keeps an outage of the store from making the nodes execute each other.
"""

import asyncio
import random
import secrets
from collections.abc import Sequence
from typing import Final

import structlog

from router.codec import MAX_HOPS, Answer, MessageEnvelope
from router.counts import Counts
from router.deadletters import DeadLetters
from router.endpoint import EndpointKeeper
from router.errors import DecodeError, Garbage, SwitchboardError
from router.forwarding import Answered, Copy, Forwarder
from router.model import EndpointId, SessionId, UserId
from router.receipts import Receipts
from router.seals import Decoder, Seals
from router.service import Services
from router.settings import LeaseSettings
from router.store.lease import Leases
from router.store.remains import TOKEN_TTL_MS, Remains, Salvage

_LOOK_S: Final = 3.0
LOOKED_AT: Final = 16  # all do the same, so about as many look at each endpoint
_WIDER: Final = 4  # at so many more for each without a lease: where many died, few are left to look
# A batch that takes longer is removed as far as it was sent on, which keeps the token. One that
# outlived its token would be sent on again by the next rescuer, and the next, without end.
_BATCH_S: Final = TOKEN_TTL_MS / 1000 / 3
_AT_ONCE: Final = 64  # most entries whose copies are sent on at the same time
_LATER_S: Final = 60.0  # until one that could not be rescued is tried again
_SHARE: Final = 5  # at most one endpoint in five is fenced within one lease TTL
_log = structlog.get_logger()


class Brake:
    """Says whether this process may fence, and how many; pure, the time is passed in.

    Args:
        ttl_s: of a lease.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._quiet_since: float | None = None
        self._fenced: list[float] = []

    def trouble(self) -> None:
        """The store was away, or our own lease was: everything seen before means nothing."""
        self._quiet_since = None

    def quiet(self, now: float) -> None:
        """The store answers and our lease is held, at `now`, seconds."""
        if self._quiet_since is None:
            self._quiet_since = now

    def allows(self, now: float, endpoints: int) -> int:
        """Return how many of `endpoints` may be fenced at `now`."""
        if self._quiet_since is None or now - self._quiet_since < self._ttl_s:
            return 0
        self._fenced = [at for at in self._fenced if now - at < self._ttl_s]
        return max(0, max(1, endpoints // _SHARE) - len(self._fenced))

    def fenced(self, now: float) -> None:
        """One was fenced."""
        self._fenced.append(now)


class Rescuer:
    """Looks for dead endpoints and rescues them, one at a time.

    Args:
        leases: the endpoints.
        remains: what a dead one leaves.
        forwarder: sends its messages on.
        receipts: takes the answers to senders.
        dead: keeps what has been rescued too often.
        endpoint: our own claim to be alive.
        settings: the TTL of a lease.
        services: gets the loop; None when nobody looks at it.
        counts: of the process; None for its own.
        seals: looked at on what the dead had; None for none.
    """

    def __init__(
        self,
        leases: Leases,
        remains: Remains,
        forwarder: Forwarder,
        receipts: Receipts,
        dead: DeadLetters,
        endpoint: EndpointKeeper,
        settings: LeaseSettings,
        services: Services | None = None,
        counts: Counts | None = None,
        seals: Seals | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._seals = seals or Seals()
        self._leases = leases
        self._remains = remains
        self._forwarder = forwarder
        self._receipts = receipts
        self._dead = dead
        self._endpoint = endpoint
        self._brake = Brake(settings.ttl_s)
        # One for all: after an interruption we go on at once, without waiting for our own token.
        self._token = secrets.token_hex(8)
        self._look_s = min(_LOOK_S, settings.ttl_s / 3)
        self._suspects: set[EndpointId] = set()
        self._own: list[EndpointId] = []
        self._later: dict[EndpointId, float] = {}  # that could not be rescued -> not before
        self._wake = asyncio.Event()
        self._looking = (services or Services()).add("rescue", self._look_forever)

    def start(self) -> None:
        """Begin to look."""
        self._looking.start()

    async def stop(self) -> None:
        """Stop; what is half done is followed up by another node."""
        await self._looking.stop()

    def store_was_away(self) -> None:
        """Leases ended because nobody could renew them: fence nobody for one TTL."""
        self._brake.trouble()
        self._suspects.clear()

    def rescue_own(self, endpoint: EndpointId) -> None:
        """Rescue an earlier epoch of our own, now: it is closed already.

        Our own lease was lost with it, so nobody else is fenced for one TTL.
        """
        self.store_was_away()
        self._own.append(endpoint)
        self._wake.set()

    async def take_over(self, endpoint: EndpointId) -> bool:
        """Rescue one endpoint now: our own, whose lease we have ended, when we leave.

        Returns:
            Whether it was ours to rescue.

        Raises:
            Unavailable, StoreRefused: the store is away or refuses; somebody else goes on.

        Cancel-safe: the same.
        """
        return await self._rescue(endpoint)

    async def _look_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._look_s * random.uniform(0.8, 1.2)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._look()
            except SwitchboardError as exc:
                self.store_was_away()
                _log.warning("rescue interrupted", error=str(exc))
            except Exception:  # noqa: BLE001
                # The edge of the loop: without it the dead would keep their messages for ever.
                self.counts.failed("rescue")
                _log.exception("rescue failed")

    async def _look(self) -> None:
        """Rescue our own earlier epochs, then those who were without a lease in two looks."""
        while self._own:
            try:
                await self._rescue(self._own[0])
            except Garbage as exc:
                self._put_off(self._own[0], exc)
            except SwitchboardError:
                self._own.append(self._own.pop(0))  # the store is away: again, after the others
                raise
            except Exception:
                del self._own[0]  # a fault of ours is left to the looks
                raise
            del self._own[0]  # not before: a loop that is ended here begins with it again
        now = asyncio.get_running_loop().time()
        if not self._endpoint.alive:
            self.store_was_away()
            return
        self._brake.quiet(now)
        some, count = await self._leases.some(LOOKED_AT + _WIDER * len(self._suspects))
        looked_at = {*some, *await self._leases.listed(self._suspects)} - {self._endpoint.id}
        without = set(await self._leases.without_lease(sorted(looked_at)))
        again, self._suspects = without & self._suspects, without
        self._later = {endpoint: at for endpoint, at in self._later.items() if at > now}
        for endpoint in sorted(again - self._later.keys()):
            now = asyncio.get_running_loop().time()
            if self._brake.allows(now, count) == 0:
                return
            if await self._try(endpoint):
                self._brake.fenced(now)

    async def _try(self, endpoint: EndpointId) -> bool:
        """Rescue one; what is wrong with it alone keeps none of the others waiting.

        Returns:
            As `_rescue`.
        """
        try:
            return await self._rescue(endpoint)
        except Garbage as exc:
            self._put_off(endpoint, exc)
        except SwitchboardError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever its messages do to us: as below
            _log.exception("rescue failed", endpoint=endpoint)
            self._put_off(endpoint, exc)
        return True  # it may be half done

    def _put_off(self, endpoint: EndpointId, error: Exception) -> None:
        self.counts.failed("rescue")
        self._later[endpoint] = asyncio.get_running_loop().time() + _LATER_S
        _log.warning("rescue put off", endpoint=endpoint, error=str(error))

    async def _rescue(self, endpoint: EndpointId) -> bool:
        """Take one endpoint over, from wherever the last rescuer left off.

        Returns:
            Whether it was fenced by us; False when it is alive or somebody else's.
        """
        token = self._token
        if not await self._remains.fence(endpoint, token):
            return False
        self.counts.fences += 1
        _log.warning("endpoint is dead, rescuing it", endpoint=endpoint)
        sent_on = 0
        while (salvage := await self._remains.read(endpoint)).entries:
            count, answers = await self._send_on(endpoint, salvage.entries)
            salvage = Salvage(salvage.position, salvage.entries[:count])
            if not await self._remains.remove(endpoint, token, salvage):
                return True  # the token ended, and somebody else goes on
            for sender, ref, answer in answers:
                self._receipts.add(sender, ref, answer, 0)
            sent_on += count
        while await self._remains.remove_routes(endpoint):
            if not await self._remains.remove(endpoint, token, Salvage(salvage.position, [])):
                return True
        if await self._remains.bury(endpoint, token):
            self.counts.rescues += 1
            self._suspects.discard(endpoint)
            _log.info("endpoint rescued", endpoint=endpoint, envelopes=sent_on)
        return True

    async def _send_on(
        self, endpoint: EndpointId, entries: Sequence[bytes]
    ) -> tuple[int, list[Answered]]:
        """Send a batch on, or as much of it as the time allows, at least a part.

        Returns:
            How many of `entries` were dealt with, and what to tell senders once they are removed.
        """
        answers: list[Answered] = []
        decode = self._seals.decoder(endpoint)
        stop_at = asyncio.get_running_loop().time() + _BATCH_S
        first, size = 0, 1
        while first < len(entries):
            if first and asyncio.get_running_loop().time() > stop_at:
                return first, answers
            copies: list[Copy] = []
            for entry in entries[first : first + size]:
                self._take(decode, entry, copies, answers)
            answers += await self._forwarder.send_on_all(copies, endpoint, _nobody)
            # At most twice as many as in the time that has passed, so the token outlives them.
            first, size = first + size, min(2 * size, _AT_ONCE)
        return len(entries), answers

    def _take(
        self, decode: Decoder, entry: bytes, copies: list[Copy], answers: list[Answered]
    ) -> None:
        """Part one entry into copies; bury what cannot be sent on."""
        try:
            envelope = decode(entry)
        except DecodeError as exc:
            self._dead.bury(entry, exc)
            return
        if not isinstance(envelope, MessageEnvelope) or envelope.users is None:
            return  # receipts of a dead sender, orders and broadcasts end with it
        if envelope.hop >= MAX_HOPS:
            self._dead.bury(entry, DecodeError("rescued or sent on too often"))
            answers += [(envelope.sender, ref, Answer.UNSURE) for ref in envelope.refs]
            return
        # The dead node may have written it: of what finds nobody, nobody can be sure.
        copies += [Copy(envelope, index) for index in range(len(envelope.users))]


def _nobody(_: UserId) -> Sequence[SessionId]:
    """A dead endpoint holds no session."""
    return ()

"""How large a scale bench is. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Options:
    """One run.

    Args:
        users: online users of the large registry, one session each.
        few_users: of the small one, to compare with.
        endpoints: over which the users of either are spread evenly.
        rescue_users: on the endpoint that is rescued.
        repeats: how often each thing alone is measured.
        pairs: how often sends in the two registries are compared.
        sends: in each of a pair.
        seconds: for how long refreshes and heartbeats are measured at their real pace.
        server: program of the store; "" for the embedded one.
        quick: smaller repeats, for a run that ends within minutes.
    """

    users: int = 1_000_000
    few_users: int = 1_000
    endpoints: int = 64
    rescue_users: int = 50_000
    repeats: int = 15
    pairs: int = 100
    sends: int = 1_000
    seconds: float = 30.0
    server: str = ""
    quick: bool = False

    def quicker(self) -> "Options":
        """Return the same figures with fewer repeats."""
        return replace(
            self,
            repeats=min(self.repeats, 9),
            pairs=min(self.pairs, 60),
            seconds=min(self.seconds, 8.0),
            quick=True,
        )

    @property
    def rescued(self) -> int:
        """Return how many users the rescued endpoint has: a small registry has fewer."""
        return min(self.rescue_users, self.users)


STANDARD = Options()

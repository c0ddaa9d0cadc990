"""The small clusters that are explored, each made for one kind of trouble."""

from collections.abc import Mapping
from typing import Final

from tests.model.rules import Configuration
from tests.model.state import Budget

B = Budget
CONFIGURATIONS: Final[Mapping[str, Configuration]] = {
    "loop": Configuration("m n", nodes="A", idle=True, budget=B(reconnect=2, leave=1)),
    "stale": Configuration("m", cached="u", sessions=2, budget=B(leave=1, lose=1)),
    "moves": Configuration("m", cached="u", sessions=3, budget=B(leave=2)),
    "twice": Configuration("m", sessions=2, budget=B(leave=1, lose=2)),
    "crash": Configuration("m", cached="u", sessions=2, budget=B(kill=1, leave=1, lose=1)),
    "zombie": Configuration("m", budget=B(pause=1, reconnect=1)),
    "zombie-moves": Configuration("m", sessions=2, budget=B(pause=1)),
    "rescue": Configuration("m", budget=B(pause=1, token=1)),
    "rescue2": Configuration("m", sessions=2, budget=B(pause=1, token=1)),
    "durable": Configuration("M N", budget=B(lose=1)),
    "durable-moves": Configuration("M", sessions=2, budget=B(leave=1, lose=1)),
    "durable-crash": Configuration("M", sessions=2, budget=B(kill=1, leave=1)),
    "durable-zombie": Configuration("M", sessions=2, budget=B(pause=1)),
    "moves-conn": Configuration("m", sessions=2, budget=B(leave=2, reconnect=1)),
    "users": Configuration("m:u m:v", cached="uv", sessions=3, budget=B(leave=1)),
    "zombie-cached": Configuration("m", cached="u", budget=B(pause=1)),
    # What the first model did not have.
    "welcome": Configuration("m", absent="u", sessions=1, budget=B(lose=1, leave=1)),
    "receipts": Configuration(
        "m", cached="u", sessions=2, slow_receipts=True, budget=B(receipt=1, leave=1)
    ),
    "devices": Configuration("M", nodes="A", devices=2, sessions=3, budget=B(leave=1)),
    "devices-since": Configuration(
        "M", nodes="A", devices=2, sessions=3, since=True, budget=B(leave=1)
    ),
    "devices-nodes": Configuration("M", devices=2, sessions=3, budget=B(kill=1)),
    "new-device": Configuration("M N", nodes="A", devices=2, absent="u1", sessions=2),
    "drain": Configuration("m", cached="u", sessions=2, budget=B(drain=1)),
    "drain-conn": Configuration("m", cached="u", sessions=2, budget=B(drain=1, reconnect=1)),
    "drain-kill": Configuration("m", sessions=2, budget=B(drain=1, kill=1)),
    "drain-durable": Configuration("M", sessions=2, budget=B(drain=1, leave=1)),
    "rollback-small": Configuration("m", cached="u", budget=B(rollback=1)),
    "rollback": Configuration("m", cached="u", sessions=2, budget=B(rollback=1, leave=1)),
    "rollback-durable": Configuration("M N", nodes="A", budget=B(rollback=1)),
    "rollback-epoch": Configuration("m", sessions=1, budget=B(rollback=1, pause=1)),
    "group": Configuration("m:u m:v n:u o:u", nodes="A", cached="u", sessions=2, grouped=1),
    "group-absent": Configuration("m:v n:v", nodes="A", absent="v", sessions=1, grouped=2),
    "group-moves": Configuration("m n", cached="u", sessions=2, grouped=2, budget=B(leave=1)),
}
"""By name; the first fifteen are those of the first model."""

QUICK: Final = (
    "loop",
    "stale",
    "zombie-cached",
    "durable",
    "welcome",
    "receipts",
    "drain",
    "rollback-small",
    "group",
    "group-absent",
)
"""Those that CI runs each time; the others run with `--long`."""

INEXHAUSTIBLE: Final = ("durable-zombie", "rescue2", "rollback-epoch")
"""Those with more than a million states: the search ends there, and says nothing of the rest."""

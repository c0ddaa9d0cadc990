"""What a message costs on a Redis Cluster of three masters, beside a single server."""

from dataclasses import dataclass
from typing import Final

from scripts.benchmark.cluster import start_cluster
from scripts.benchmark.options import MODES
from scripts.benchmark.scale.rows import Faulty, Row
from scripts.benchmark.scale.stage import Stage
from scripts.measuring import options as measuring
from scripts.measuring.cell import PER, Cell
from scripts.measuring.cluster import Cluster
from scripts.measuring.modes import Regime
from scripts.measuring.run import Runner
from scripts.measuring.stats import Spread, ratios

AIM: Final = 1.5
NODES: Final = 4
_OUTSTANDING: Final = 256
_PAIRS: Final = (("accepted", "cluster-accepted"), ("delivered", "cluster-delivered"))


@dataclass(frozen=True, slots=True)
class FullLoad(measuring.Options):
    """As the bench of a message, at full load only."""

    def regimes(self) -> tuple[Regime, ...]:
        """See `measuring.Options.regimes`."""
        return (Regime(outstanding=_OUTSTANDING),)


async def measure(stage: Stage) -> list[Row]:
    """Put the same load through both, in turn."""
    options = stage.options
    modes = tuple(MODES[name] for pair in _PAIRS for name in pair)
    plan = FullLoad((NODES,), options.repeats, options.sends, 0.0, 0.0, 400, 100, modes, True)
    cells = plan.repeats * len(modes)
    done = 0

    async def start(kind: str, nodes: int) -> Cluster:
        folder = stage.directory
        return await start_cluster(stage.children, stage.stores, kind, nodes, plan.users, folder)

    def told(what: str, finished: int) -> None:
        nonlocal done
        done += finished
        stage.tell(what, done / cells)

    runner = Runner(plan, stage.children, stage.stores, start, told)
    await runner.run()
    faults = runner.results.faults() + runner.results.yardstick_faults()
    if faults:
        raise Faulty(faults[0])
    return [_row(runner.results.cells, *pair) for pair in _PAIRS]


def _row(cells: list[Cell], single: str, cluster: str) -> Row:
    """Return how the costs compare, each repeat's with each other."""
    one, three = (_cpu_us(cells, name) for name in (single, cluster))
    costs = f"{Spread.of(three).median:.1f} us against {Spread.of(one).median:.1f} us"
    note = (
        f"CPU of nodes, store and sender per message at full load, {NODES} nodes, {single}: "
        f"{costs}; both write their file"
    )
    compared = Spread.of(ratios(three, one))
    figure = f"Cluster of 3 masters : single server, {single}"
    return Row(figure, compared, "x", AIM, f"{len(one)} repeats", note, digits=2)


def _cpu_us(cells: list[Cell], mode: str) -> list[float]:
    """Return the CPU of all processes that a message needs, each repeat's, in microseconds."""
    costs = [cell.cost for cell in cells if cell.mode.name == mode]
    return [(c.cpu_nodes + c.cpu_store + c.cpu_sender) / PER * 1e6 for c in costs]

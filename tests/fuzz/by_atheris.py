"""The engine that looks at coverage: atheris (libFuzzer), in a process of its own.

`python -m tests.fuzz.by_atheris COUNT SEED FOLDER` runs `COUNT` inputs, prints one line of JSON
for each thousand, and ends with 0, or with 1 and a finding in `FOLDER`. One process has all
targets: the first byte of libFuzzer's input says which.
"""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["node", "router"]):
    from tests.fuzz.mutating import MAX_BYTES, mutate
    from tests.fuzz.targets import TARGETS
    from tests.fuzz.watching import Finding, Watch

_TELL_EVERY: Final = 1_000
_MOST_RSS_MB: Final = 1_024
_targets: Final = list(TARGETS.values())
_rng: Final = random.Random(0)


class Run:
    """One run, until enough inputs were tried.

    Args:
        count: how many.
        folder: takes the finding.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self._count = count
        self._folder = folder
        self._watch = Watch()
        self._done = 0

    def one(self, data: bytes) -> None:
        """Run one input of libFuzzer's; end the process at the last one, or at a finding."""
        target = _targets[data[0] % len(_targets)] if data else _targets[0]
        try:
            self._watch.run(target, data[1:])
        except Finding as exc:
            path = exc.save(self._folder)
            self._tell(finding=str(exc), file=str(path))
            self._end(1)
        self._done += 1
        if self._done % _TELL_EVERY == 0 or self._done == self._count:
            self._tell()
        if self._done == self._count:
            self._end(0)

    def _tell(self, **more: Any) -> None:
        watch = self._watch
        line = {"inputs": watch.inputs, "slowest_s": watch.slowest_s, **more}
        print(json.dumps(line), flush=True)

    def _end(self, status: int) -> None:
        # libFuzzer's own way out says nothing of ours.
        sys.stdout.flush()
        os._exit(status)


def _mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input: half as libFuzzer does, half as we do; some go to another target."""
    _rng.seed(seed)
    if _rng.random() < 0.5 and len(data) > 1:
        return bytes(data[:1] + atheris.Mutate(bytes(data[1:]), max_size - 1))
    which = data[0] if data and _rng.random() < 0.8 else _rng.randrange(256)
    changed = mutate(_targets[which % len(_targets)], bytes(data[1:]), _rng)
    return (bytes([which]) + changed)[:max_size]


def main(count: int, seed: int, folder: Path) -> None:
    """Run; does not return."""
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, target in enumerate(_targets):
        for place, sample in enumerate(target.samples):
            (corpus / f"{target.name}-{place}").write_bytes(bytes([number]) + sample)
    options = {
        "seed": seed,
        "max_len": MAX_BYTES,
        "len_control": 0,
        "reduce_inputs": 0,
        "rss_limit_mb": _MOST_RSS_MB,
        "timeout": 60,
        "verbosity": 0,
        "artifact_prefix": f"{folder}/",
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    run = Run(count, folder)
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], run.one, custom_mutator=_mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

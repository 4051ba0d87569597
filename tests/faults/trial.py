"""One trial: a fault, where it acts, how many worker processes, a seed; and its judgement."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from crowd import Crowd
from judge import Hands, Outage, Verdict, judge
from labourer import begun
from scene import Remains, Scene, reply_queues, until
from storms import STORMS, Storm

from chatrpc import RpcClient
from chatrpc.broker import Node

BEFORE, AFTER = 250, 260  # answers before the fault and after it


@dataclass(frozen=True)
class Trial:
    """What to break, where, and for whom.

    ``client`` and ``server`` name deliberately wrong classes in ``broken.py``, to see that
    the judgement finds them out.
    """

    storm: str
    side: str = "both"
    workers: int = 1
    seed: int = 1
    server: str = ""
    client: type[RpcClient] = RpcClient

    def __str__(self) -> str:
        """Return its name in lists."""
        where = "" if self.side == "node" else f", {self.side}"
        return f"{self.storm}{where}, {self.workers} worker{'s' * (self.workers > 1)}"

    def run(self, node: Node, known: frozenset[str] = frozenset()) -> Verdict:
        """Run it on a node; ``known`` are the reply queues that were there before."""
        folder = Path(tempfile.mkdtemp(prefix="chatrpc-storm-"))
        try:
            return self._run(STORMS[self.storm], node, folder, known)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, storm: Storm, node: Node, folder: Path, known: frozenset[str]) -> Verdict:
        start = Remains.here()
        with Scene(node, folder, side=self.side, known=known) as scene:
            with storm.around(scene):
                scene.hire(self.workers, threads=storm.threads, broken=self.server)
                with self.client(scene.service, url=scene.url("client")) as client:
                    crowd = scene.crowd = Crowd(
                        client,
                        seed=self.seed,
                        timeout=storm.timeout,
                        large=storm.large,
                        seconds=storm.seconds,
                    )
                    outage, grown = self._weather(storm, scene, crowd)
            settled = until(lambda: scene.waiting() == (0, scene.dead))
            waiting = scene.waiting()
            codes = [worker.stop() for worker in scene.workers]
            left = scene.waiting()
            verdict = judge(
                crowd.calls,
                begun(scene.log),
                outage,
                self._hands(storm, scene),
                now=time.monotonic(),
            )
            scene.delete_queues()
        if grown:
            verdict.complaints.append(grown)
        if not settled or left != waiting or left != (0, scene.dead):
            verdict.complaints.append(f"in the queue and dead: {left}, not {(0, scene.dead)}")
        if any(codes):
            verdict.complaints.append(f"the workers ended with {codes}")
        if queues := reply_queues(node) - known:
            verdict.complaints.append(f"reply queues are left: {len(queues)}")
        del client, crowd, scene
        if not until(lambda: Remains.here() <= start):
            verdict.complaints.append(f"left behind: {Remains.here()}, was {start}")
        return verdict

    def _weather(self, storm: Storm, scene: Scene, crowd: Crowd) -> tuple[Outage, str]:
        """Call, break, mend, call; return when it was broken, and what has grown meanwhile."""
        crowd.start()
        crowd.until_answered(BEFORE, storm.timeout + 5)
        if storm.age:
            time.sleep(storm.age)
        whole = _all_remains(scene)
        scene.losses.clear()
        begin = time.monotonic()
        storm.act(scene, random.Random(f"{self.seed} storm"))
        end = time.monotonic()
        crowd.until_answered(crowd.answered + AFTER, storm.timeout + 5)
        crowd.end()
        grown = ""
        if not until(lambda: _no_more(_all_remains(scene), whole)):
            grown = f"grown from {whole} to {_all_remains(scene)}"
        return Outage(begin, end, tuple(scene.losses or [begin])), grown

    def _hands(self, storm: Storm, scene: Scene) -> Hands:
        """What may run twice: nothing, with one worker process that lived through it all."""
        if self.workers == 1 and not scene.workers[0].deaths:
            return Hands()
        if not storm.breaks_links:
            prefetched = 2 * storm.threads * sum(worker.deaths for worker in scene.workers)
            return Hands(prefetched)
        at_server = self.workers if self.side in ("server", "both", "node") else 0
        return Hands(2 * storm.threads * at_server, self.side in ("client", "both", "node"))


def _all_remains(scene: Scene) -> list[Remains]:
    """What is there now: here, and in each worker that has lived through it."""
    here = replace(Remains.here(), calls=0)  # those in flight are no remains
    return [here, *(Remains.of(worker.pid) for worker in scene.workers if not worker.deaths)]


def _no_more(now: list[Remains], then: list[Remains]) -> bool:
    return now[0].sockets <= then[0].sockets and all(a <= b for a, b in zip(now[1:], then[1:]))

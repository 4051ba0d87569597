"""One trial: a fault, where it acts, how many worker processes, a seed; and its judgement.

``python trial.py FOLDER STORM SIDE WORKERS SEED`` runs one on the node, or cluster, in
that folder, and writes its verdict as JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from crowd import Crowd
from judge import Hands, Outage, Verdict, judge
from labourer import begun
from scene import Remains, Scene, grown, reply_queues, until
from storms import CLUSTER, NODE, STORMS, Storm

from chatrpc import RpcClient, RpcError
from chatrpc.broker import BrokerProblem, Cluster, Node
from chatrpc.lab.problem import LabProblem

BEFORE, AFTER = 250, 260  # answers before the fault and after it


@dataclass(frozen=True)
class Trial:
    """What to break, where, and for whom.

    ``timeout`` is how many seconds a call waits, if not as long as the storm says. ``client``
    may be a deliberately wrong class, and ``server`` the name of one among the contract's
    mutants, to see that the judgement finds them out.
    """

    storm: str
    side: str = "both"
    workers: int = 1
    seed: int = 1
    timeout: float | None = None
    server: str = ""
    client: type[RpcClient] = RpcClient

    def __str__(self) -> str:
        """Return its name in lists."""
        where = "" if self.side in (*NODE, *CLUSTER) else f", {self.side}"
        return f"{self.storm}{where}, {self.workers} worker{'s' * (self.workers > 1)}"

    def run(self, node: Node | Cluster, known: frozenset[str] = frozenset()) -> Verdict:
        """Run it on a node; ``known`` are the reply queues that were there before."""
        folder = Path(tempfile.mkdtemp(prefix="chatrpc-storm-"))
        try:
            storm = STORMS[self.storm]
            return self._run(
                replace(storm, timeout=self.timeout or storm.timeout), node, folder, known
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(
        self, storm: Storm, node: Node | Cluster, folder: Path, known: frozenset[str]
    ) -> Verdict:
        start = Remains.here()
        with Scene(node, folder, side=self.side, known=known) as scene:
            with storm.around(scene):
                scene.hire(self.workers, threads=storm.threads, broken=self.server)
                with self.client(scene.service, url=scene.url("client")) as client:
                    scene.crowd = Crowd(
                        client,
                        seed=self.seed,
                        timeout=storm.timeout,
                        large=storm.large,
                        seconds=storm.seconds,
                    )
                    outage, complaints = self._weather(storm, scene)
            complaints += _tidy(scene)
            calls, executions = scene.crowd.calls, begun(scene.log)
            hands = self._hands(storm, scene)
        verdict = judge(calls, executions, outage, hands, now=time.monotonic())
        verdict.complaints += complaints
        if not until(lambda: reply_queues(node) <= known, 5.0):
            verdict.complaints.append("the client's reply queue is left")
        del client, scene
        if not until(lambda: Remains.here() <= start):
            verdict.complaints.append(f"left behind: {Remains.here()}, was {start}")
        return verdict

    def _weather(self, storm: Storm, scene: Scene) -> tuple[Outage, list[str]]:
        """Call, break, mend, call; return when it was broken, and what else went wrong."""
        crowd, complaints = scene.crowd, []
        crowd.start()
        crowd.until_answered(BEFORE, storm.timeout + 5)
        time.sleep(storm.age)
        whole = scene.remains()
        begin = time.monotonic()
        try:
            storm.act(scene, random.Random(f"{self.seed} storm"))
        except (AssertionError, BrokerProblem, LabProblem, RpcError) as error:
            complaints.append(f"the fault itself failed: {error}")
        end = time.monotonic()
        crowd.until_answered(crowd.answered + AFTER, storm.timeout + 5)
        crowd.end()
        if not until(lambda: not grown(scene.remains(), whole)):
            complaints.append(f"grown: {grown(scene.remains(), whole)}")
        losses = tuple(scene.losses)
        end = scene.end or end
        return Outage(begin, end, losses, storm.recovery, storm.spills), complaints

    def _hands(self, storm: Storm, scene: Scene) -> Hands:
        """What may run twice: nothing, with one worker process that lived through it all."""
        if self.workers == 1 and not scene.workers[0].deaths:
            return Hands()
        if not storm.breaks_links:
            prefetched = 2 * storm.threads * sum(worker.deaths for worker in scene.workers)
            return Hands(prefetched)
        at_server = self.workers if self.side != "client" else 0
        return Hands(2 * storm.threads * at_server, self.side != "server")


def _tidy(scene: Scene) -> list[str]:
    """Send the workers home; return what is not as it should be then."""
    complaints, wanted = [], (0, scene.dead)
    until(lambda: scene.waiting() == wanted)
    if any(codes := [worker.stop() for worker in scene.workers]):
        complaints.append(f"the workers ended with {codes}")
    if (left := scene.waiting()) != wanted:  # what was not acknowledged is back in the queue now
        complaints.append(f"in the queue and dead: {left}, not {wanted}")
    scene.delete_queues()
    return complaints


def main(folder: str, storm: str, side: str, workers: str, seed: str) -> None:
    """Run one trial."""
    node = Cluster(folder) if side == "cluster" else Node(folder)
    verdict = Trial(storm, side, int(workers), int(seed)).run(node)
    sys.stdout.write(json.dumps(asdict(verdict)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

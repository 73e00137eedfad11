"""Two hosts with workers and one with the database, as network namespaces: `python -m tests.chaos.network --cut 60`.

The hosts are joined by a bridge. The link of one is cut while its workers train, for longer than a lease, and then
restored. It prints its actions and a verdict per law, and ends with exit code 1 if one is broken. Needs root.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from tests.chaos import audit
from tests.chaos.cluster import Cluster
from tests.chaos.crew import REPOSITORY, ends_with_us
from tests.chaos.fleet import FINISH_S, judged, say
from tests.chaos.ground import STUDY, Ground, Plan, undisturbed
from tests.chaos.waiting import let_pass, wait_until

_ADDRESS: Final = "10.213.57.{host}"


def refusal() -> str | None:
    """Return why this process may make no network namespaces, or None."""
    name = f"hpsearch-{os.getpid()}-try"
    try:
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "the command `ip` is not installed (as root: apt-get install iproute2)"
    if made.returncode:
        return f"`ip netns` is not permitted here: {made.stderr.strip()}"
    _ip("netns", "delete", name)
    return None


@final
class Hosts:
    """Namespaces with a network each, joined by a bridge of ours at address 1. Nothing is left of them in the end."""

    def __init__(self, count: int) -> None:
        mark = f"{os.getpid() % 100_000}"
        self._bridge = f"hb{mark}"
        self.names = [f"hpsearch-{mark}-{i}" for i in range(count)]
        self._links = [f"hv{mark}-{i}" for i in range(count)]
        self.server = _ADDRESS.format(host=1)

    def __enter__(self) -> Self:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.server}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for i, (name, link) in enumerate(zip(self.names, self._links, strict=True)):
            _ip("netns", "add", name)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", link, "master", self._bridge, "up")
            _ip("-n", name, "address", "add", f"{_ADDRESS.format(host=10 + i)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self.names:
            _ip("netns", "delete", name)
        _ip("link", "delete", self._bridge)

    def cut(self, host: int) -> None:
        """Cut a host's link: its packets are lost without an answer."""
        _ip("link", "set", self._links[host], "down")

    def restore(self, host: int) -> None:
        """Let a host's packets pass again."""
        _ip("link", "set", self._links[host], "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def run(
    ground: Ground,
    hosts: Hosts,
    url: str,
    folder: Path,
    *,
    cut_s: float,
    lease_s: float,
    tell: Callable[[str], None],
) -> Mapping[str, Sequence[str]]:
    """Train the study with a worker on each host, one of which is cut off meanwhile; return what they broke."""
    names = [f"worker-{host}" for host in hosts.names]
    workers = [
        _start(host, name, url, folder, lease_s) for host, name in zip(hosts.names, names, strict=True)
    ]
    try:
        wait_until(lambda: all(map(ground.held_by, names)), "all workers train", within_s=FINISH_S)
        hosts.cut(0)
        before = ground.finished()
        tell(f"{before} finished: cut the link of {names[0]}, which holds {ground.held_by(names[0])} trials")
        let_pass(cut_s)
        tell(
            f"{ground.finished()} finished: restored the link; {names[0]} held {ground.held_by(names[0])} by then"
        )
        during = ground.finished() - before
        hosts.restore(0)
        codes = [worker.wait(FINISH_S) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return {
        "workers end with 0": [
            f"{name} ended with {code}" for name, code in zip(names, codes, strict=True) if code
        ],
        "the other host goes on while the link is cut": [] if during else ["no trial ended"],
    }


def _start(host: str, name: str, url: str, folder: Path, lease_s: float) -> "subprocess.Popen[bytes]":
    worker = [sys.executable, "-m", "hpsearch", "worker", "start", "--study", STUDY, "--exit-when-idle"]
    worker += ["--name", name, "--lease", str(lease_s), "--cohort", "2"]
    environment = {**os.environ, "HPSEARCH_STORAGE": url, "PYTHONPATH": str(REPOSITORY)}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*ends_with_us(), "ip", "netns", "exec", host, *worker], env=environment, stdout=log, stderr=log
        )


def main() -> int:
    """Run the hosts of the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.network", description=__doc__)
    parser.add_argument("--cut", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--lease", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=30)
    chosen = parser.parse_args()
    if (why := refusal()) is not None:
        say(why)
        return 2
    plan = Plan(trials=chosen.trials, epochs=chosen.epochs)
    with (
        audit.named_connections(audit.OURSELVES),
        tempfile.TemporaryDirectory(prefix="hpsearch-chaos-", dir="/tmp") as name,
        Hosts(2) as hosts,
        Cluster(Path(name), address=hosts.server) as server,
    ):
        folder = Path(name) / "workers"
        folder.mkdir()
        say(f"one undisturbed worker: {plan.trials} trials")
        expected = undisturbed(plan, folder, within_s=FINISH_S)
        database = server.new_database()
        ground = Ground(server.url(database), plan)
        try:
            url = server.url(database).replace("127.0.0.1", hosts.server)
            broken = run(ground, hosts, url, folder, cut_s=chosen.cut, lease_s=chosen.lease, tell=say)
            return judged(ground, expected, broken, say)
        finally:
            ground.close()


if __name__ == "__main__":
    sys.exit(main())

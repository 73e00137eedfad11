"""A study from its first trial to its last while calamities happen, at times and to workers that a seed chooses."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from tests.chaos.calamities import ON_POSTGRESQL, ON_SQLITE, SILENCE_S, Calamity, Scene, thaw
from tests.chaos.cluster import Cluster
from tests.chaos.crew import VOID, Crew, Job
from tests.chaos.ground import STUDY, Ground, Plan
from tests.chaos.proxy import Proxy
from tests.chaos.waiting import GIVE_UP_S, POLL_S, wait_until

_OUR_FAULT: Final = 3
_MOST_FAULTS: Final = 5


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Campaign:
    """The severity of a campaign: about `every_s` seconds from one calamity to the next, for at most `calamities_s`.

    Leases run for `lease_s`, and an outage takes `outage_s`. The study must be done `finish_s` after the last
    calamity.
    """

    plan: Plan
    workers: int
    seed: int
    every_s: float
    calamities_s: float
    lease_s: float = 2.0
    outage_s: float = 1.0
    finish_s: float = GIVE_UP_S
    rows: int = 3


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A record: calamities by name, workers started, lines in which workers report void work.

    `faults` are workers that ended by themselves with work left to do, each with its last words. `cuts` counts
    the commits that were cut.
    """

    happened: Mapping[str, int]
    started: int
    void: int
    cuts: int
    faults: list[str]
    seconds: float


@contextmanager
def on_sqlite(campaign: Campaign, folder: Path, *, logs: Path | None = None) -> Iterator[Scene]:
    """Provide a scene on an SQLite file in `folder`, with workers at work that write their output into `logs`."""
    ground = Ground(f"sqlite:///{folder}/chaos.db", campaign.plan)
    job = Job(
        url=ground.url,
        study=STUDY,
        folder=logs or folder,
        rows=campaign.rows,
        lease_s=campaign.lease_s,
        module="tests.chaos.audited",
    )
    with Crew(job, size=campaign.workers) as crew:
        yield _scene(campaign, ground, crew)
    ground.close()


@contextmanager
def on_postgresql(campaign: Campaign, folder: Path, cluster: Cluster) -> Iterator[Scene]:
    """Provide a scene on a PostgreSQL server, whose workers connect through a proxy."""
    database = cluster.new_database()
    ground = Ground(cluster.url(database), campaign.plan)
    with Proxy(cluster.port) as proxy:
        job = Job(
            url=f"{cluster.url(database, port=proxy.port)}?read_timeout={SILENCE_S}",
            study=STUDY,
            folder=folder,
            rows=campaign.rows,
            lease_s=campaign.lease_s,
        )
        with Crew(job, size=campaign.workers) as crew:
            scene = _scene(campaign, ground, crew)
            scene.cluster, scene.proxy = cluster, proxy
            yield scene
    ground.close()


def _scene(campaign: Campaign, ground: Ground, crew: Crew) -> Scene:
    return Scene(
        ground=ground,
        crew=crew,
        chance=random.Random(campaign.seed),
        lease_s=campaign.lease_s,
        outage_s=campaign.outage_s,
    )


def run(campaign: Campaign, scene: Scene, *, tell: Callable[[str], None]) -> Account:
    """Let calamities happen until the study is done; return the record after the last worker has ended.

    Raises TimeoutError if the study is not done in time.
    """
    kinds: Mapping[Calamity, int] = ON_SQLITE if scene.ground.is_sqlite else ON_POSTGRESQL
    happened: Counter[str] = Counter()
    # Calamities have their time from then on: how long workers take to start depends on the machine.
    wait_until(lambda: _has_begun(scene), "a worker begins")
    began = time.monotonic()
    due = began
    while scene.ground.finished() < campaign.plan.trials:
        now = time.monotonic() - began
        if now > campaign.calamities_s + campaign.finish_s:
            said = "\n".join(f"{hand.name}: {hand.said}" for hand in scene.crew.hands)
            raise TimeoutError(f"the study is not done after {now:.0f} s: {scene.ground.progress()}\n{said}")
        scene.crew.fill()
        if len(broken := faults(scene.crew)) > _MOST_FAULTS:
            raise AssertionError(f"workers end by themselves again and again: {broken}")
        lines = thaw(scene)
        if time.monotonic() >= due and now < campaign.calamities_s:
            due = time.monotonic() + scene.chance.uniform(0.5, 1.5) * campaign.every_s
            (calamity,) = scene.chance.choices(list(kinds), list(kinds.values()))
            if (line := calamity(scene)) is not None:
                happened[calamity.__name__] += 1
                lines.append(line)
        for line in lines:
            tell(f"{time.monotonic() - began:6.1f} s  {scene.ground.finished():4d} finished  {line}")
        time.sleep(POLL_S)
    for hand in scene.crew.hands:
        hand.thaw()
    scene.crew.dismiss()
    return _account(scene, happened, time.monotonic() - began)


def _has_begun(scene: Scene) -> bool:
    return any(hand.has_begun for hand in scene.crew.hands)


def _account(scene: Scene, happened: Mapping[str, int], seconds: float) -> Account:
    hands = scene.crew.everybody
    return Account(
        happened=dict(happened),
        started=scene.crew.started,
        void=sum(hand.said.count(VOID) for hand in hands),
        cuts=0 if scene.proxy is None else scene.proxy.cuts,
        faults=faults(scene.crew),
        seconds=seconds,
    )


def faults(crew: Crew) -> list[str]:
    """Return the last words of workers that ended by themselves with work left to do.

    One that does not find its database at its start may end, since that must be reported.
    """
    return [
        f"{hand.name}: exit code {hand.popen.returncode}: {hand.said.strip()[-1000:]}"
        for hand in crew.gone
        if not hand.was_killed
        and hand.popen.returncode
        and (hand.has_begun or hand.popen.returncode == _OUR_FAULT)
    ]

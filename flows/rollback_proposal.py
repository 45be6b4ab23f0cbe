"""What a rollback proposes: every part of the set, what would bring the bad version back, and how it is shown."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from flows.procedure import Proposal
from flows.rollback_incident import open_rollback_incident
from flows.rollback_moves import Way, conflict, way_of
from flows.rollback_source import revert_effects
from flows.rollback_sync import HeldSync, syncs_to_pause
from flows.run import Run
from runbook import report
from runbook.decisions.image_reference import same_repository
from runbook.decisions.revision_evidence import Evidence, bar_subject, digests_of
from runbook.decisions.rollback_set import Member, SetRefused, moves_of, together
from runbook.decisions.rollout import RolloutState, judge_rollout
from runbook.decisions.soak import Sample
from runbook.effects.gitops import PauseGitOpsSync
from runbook.effects.releases import RollBackRelease
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.effects import Effect
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.models import Frozen
from runbook.policy.estate import Service
from runbook.report.rollbacks import WayBack
from runbook.requests import RollbackImageRequest
from runbook.source_facts import Comparison
from runbook.standing import Standing
from runbook.workloads import Revision
from tasks.revision_evidence import read_between
from tasks.rollback_watch import sample_services
from tasks.workloads import read_services

PROCEDURE = "rollback-image"


class Before(Frozen):
    """How the set was when its rollback was planned.

    Args:
        samples: By service: what verification compares with.
        left: By the references of the images that are left: how bars name them.
        held: Syncs that are paused already by an exception of ours.
    """

    samples: dict[str, Sample]
    left: dict[str, str]
    held: tuple[HeldSync, ...] = ()

    @classmethod
    def of(cls, plan: StoredPlan) -> "Before":
        """Return what a plan was made on."""
        return cls.model_validate(plan.view.before)


def propose_rollback(
    run: Run, request: RollbackImageRequest, members: Sequence[Member], *, why: str
) -> Proposal:
    """Read how the set stands, open the incident, and propose to move all of it.

    Args:
        run: The procedure.
        request: What was asked.
        members: The set.
        why: Who or what asks for it.

    Raises:
        Conflict: A part of the set cannot go back, so nothing does.
        NotFound, Denied, Transient: The cluster, Helm or GitHub does not tell what is needed.
    """
    services = [member.service for member in members]
    names = ", ".join(service.name for service in services)
    standings = {one.service: one for one in read_services(services, what=names)}
    place = None
    if run.applying:
        place = open_rollback_incident(run, [standings[service.name] for service in services], why=why)
    by_name = {service.name: service for service in services}
    ways = [
        way_of(run, move, [by_name[name] for name in move.services], standings, request.to)
        for move in moves_of(members)
    ]
    moving = together([way.move for way in ways], {way.move: way.target for way in ways})
    if isinstance(moving, SetRefused):
        raise conflict(moving.reason, moving.next_step)
    between = _between(services, ways)
    backs = _ways_back(services, standings, ways, between)
    syncs = syncs_to_pause(run, [standings[service.name] for service in services])
    moved = [_effect(way, standings) for way in ways]
    reverts = revert_effects(run, services, between, place=place)
    before = Before(
        samples=sample_services(services, what=names),
        left=_left(services, standings, ways),
        held=syncs.held,
    )
    # Undone last first: what runs goes back before anything is asked of GitHub, which may be away.
    effects = [*syncs.pauses, *reverts.effects, *moved]
    return Proposal(
        plan=Plan.of(
            procedure=PROCEDURE,
            repository=run.repository.name,
            effects=effects,
        ),
        view=_view(run, members, standings, ways, backs, before, effects, why=why, revert=reverts.said),
        place=place,
    )


def origin(way: Way, service: str, revision: Revision) -> Evidence:
    """Return what is known of a revision's origin."""
    return way.evidence[service].get(revision.name, Evidence())


def _effect(way: Way, standings: Mapping[str, Standing]) -> Effect:
    move = way.move
    if not move.release:
        workload = standings[move.services[0]].workload
        return RollBackWorkload.of(workload, before=way.current, after=way.to)
    return RollBackRelease.of(move.release, move.namespace, before=way.current, after=way.to)


def _between(services: Sequence[Service], ways: Sequence[Way]) -> dict[str, Comparison | None]:
    """Return by service what lies between its two commits; what several share is read once."""
    read: dict[tuple[str, str, str], Comparison | None] = {}
    between: dict[str, Comparison | None] = {}
    for service in services:
        way = _way_of(service, ways)
        bad = origin(way, service.name, way.current).commit
        good = origin(way, service.name, way.to).commit
        key = (service.repository, good, bad)
        if good and bad and key not in read:
            read[key] = read_between(service.repository, good=good, bad=bad)
        between[service.name] = read.get(key)
    return between


def _way_of(service: Service, ways: Sequence[Way]) -> Way:
    return next(way for way in ways if service.name in way.move.services)


def _ways_back(
    services: Sequence[Service],
    standings: Mapping[str, Standing],
    ways: Sequence[Way],
    between: Mapping[str, Comparison | None],
) -> list[WayBack]:
    backs = []
    for service in services:
        way = _way_of(service, ways)
        standing = standings[service.name]
        backs.append(
            WayBack(
                service=service.name,
                before=way.current,
                after=way.to,
                why=way.target.reason,
                running=_running(way.current, standing),
                after_digest=origin(way, service.name, way.to).digest,
                migrations=_migrations(service, between[service.name]),
                autoscaler=standing.autoscaler,
            )
        )
    return backs


def _running(current: Revision, standing: Standing) -> tuple[str, ...]:
    """Return the digests that the current revision's images run as, as far as its own pods tell."""
    named = (image.image for image in current.template.images)
    return tuple(sorted({digest for image in named for digest in digests_of(image, standing.pods)}))


def _left(
    services: Sequence[Service], standings: Mapping[str, Standing], ways: Sequence[Way]
) -> dict[str, str]:
    """Name the images that are left as bars do: by the digest that runs, else the registry's, else by their tags."""
    left: dict[str, str] = {}
    for way in ways:
        back = {image.image for image in way.to.template.images}
        for image in (image.image for image in way.current.template.images if image.image not in back):
            digests: set[str] = set()
            for service in services:
                if service.name in way.move.services and same_repository(image, service.image):
                    running = digests_of(image, standings[service.name].pods)
                    digests |= running or {origin(way, service.name, way.current).digest} - {""}
            left[image] = bar_subject(image, digests.pop() if len(digests) == 1 else "")
    return left


def _migrations(service: Service, between: Comparison | None) -> tuple[str, ...] | None:
    """Return the files that changed a database between two commits; None where nobody can tell all of them."""
    if between is None or not between.whole:
        return None
    paths = (file.path for file in between.files)
    return tuple(path for path in paths if any(fnmatch(path, glob) for glob in service.migration_paths))


def _view(
    run: Run,
    members: Sequence[Member],
    standings: Mapping[str, Standing],
    ways: Sequence[Way],
    backs: Sequence[WayBack],
    before: Before,
    effects: Sequence[Effect],
    *,
    why: str,
    revert: str,
) -> PlanView:
    rules = run.here.policy.image_rollback
    scorecard = run.here.engine.plans.scorecard(remedy=PROCEDURE, failure_class="")
    names = [member.service.name for member in members]
    pods = sum(standings[name].workload.wanted for name in names)
    soak = max(member.service.soak_seconds for member in members)
    left = ", ".join(sorted(before.left.values()))
    moving = [
        verdict.detail
        for name in names
        if (verdict := judge_rollout(standings[name].workload, since=None)).state is not RolloutState.COMPLETE
    ]
    looked_at = [table for way in ways for table in way.tables()]
    pausing = any(isinstance(effect, PauseGitOpsSync) for effect in effects)
    paused = (
        f"The sync goes on by itself after {rules.gitops_pause_minutes:g} minutes: revert the source by then"
        if pausing
        else ""
    )
    barred = f"What is left is barred for {rules.bar_days} days: {left}" if left else ""
    return PlanView(
        title=f"roll back {', '.join(names)}",
        why=report.sentences(
            why,
            *moving,
            *(f"{member.service.name} moves because {member.because}" for member in members),
        ),
        remedy=PROCEDURE,
        blast_radius=report.sentences(
            f"{pods} pods of {len(names)} services are replaced, as each one's update strategy says; all move or none",
            *(f"{ref} goes back along with its Helm release, unwatched" for way in ways for ref in way.along),
            f"Rollout and health are watched for {soak:g} s after; whatever is not well then goes back to where it was",
        ),
        if_nobody_acts=report.sentences(
            "The services go on with the images that they have",
            "Rolled back, the next deploy or sync from git would bring the bad version back",
            barred,
            paused,
            *(
                f"{held.said}: applied, this puts that off to {rules.gitops_pause_minutes:g} minutes from then"
                for held in before.held
            ),
            revert,
        ),
        history=scorecard.sentence() if run.applying else "",
        tables=report.rollback_tables(backs, looked_at, now=run.here.clock.now()),
        before=before.model_dump(mode="json"),
    )

"""`runbook run PROCEDURE`: start a procedure, show its plan, wait for what comes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from deployments.cli import terminal
from deployments.cli.opening import open_installation
from deployments.cli.options import JsonOption, PolicyOption
from runbook.errors import UsageError
from runbook.requests import (
    ClearCachesRequest,
    Mode,
    ProcedureRequest,
    RollbackImageRequest,
    TriageRequest,
)

if TYPE_CHECKING:
    from deployments.starting import Progress

app = typer.Typer(
    no_args_is_help=True, help="Start a procedure: a plan first, and with --apply the real thing."
)

DONE, FAILED, WAITS_FOR_APPROVAL, NEEDS_A_PERSON = 0, 1, 3, 4

RepositoryOption = Annotated[
    str | None,
    typer.Option("--repo", "--repository", metavar="OWNER/NAME", help="Else the policy's only repository."),
]
ApplyOption = Annotated[
    bool, typer.Option("--apply", help="Wait for approval, then act and verify. Without it: the plan only.")
]
WaitOption = Annotated[
    bool,
    typer.Option("--wait", help="With --apply: stay until the end. Else exit 3 once people must decide."),
]


@app.command("triage-failed-run")
def triage_failed_run(
    run_id: Annotated[int, typer.Option("--run-id", help="The failed run.")],
    attempt: Annotated[int | None, typer.Option("--attempt", help="Else the newest.")] = None,
    repository: RepositoryOption = None,
    apply: ApplyOption = False,
    wait: WaitOption = False,
    json_output: JsonOption = False,
    policy: PolicyOption = None,
) -> None:
    """Find out what broke a workflow run, open its incident, plan the remedy."""
    fields = {"run_id": run_id, "run_attempt": attempt}
    _run(
        "triage-failed-run",
        TriageRequest,
        fields,
        repository,
        apply=apply,
        wait=wait,
        json_output=json_output,
    )


@app.command("clear-caches")
def clear_caches(
    cache_ids: Annotated[list[int] | None, typer.Option("--id", help="An entry; may be given again.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Exactly this key.")] = None,
    key_prefix: Annotated[str | None, typer.Option("--key-prefix", help="Keys that begin so.")] = None,
    ref: Annotated[
        str | None, typer.Option("--ref", help="A branch, refs/…, or #12 for a pull request.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every cache of the repository.")] = False,
    repository: RepositoryOption = None,
    apply: ApplyOption = False,
    wait: WaitOption = False,
    json_output: JsonOption = False,
    policy: PolicyOption = None,
) -> None:
    """Delete Actions caches by id, key, key prefix, ref, or all."""
    fields = {
        "cache_ids": tuple(cache_ids or ()),
        "key": key,
        "key_prefix": key_prefix,
        "ref": ref,
        "everything": everything,
    }
    _run(
        "clear-caches",
        ClearCachesRequest,
        fields,
        repository,
        apply=apply,
        wait=wait,
        json_output=json_output,
    )


@app.command("rollback-image")
def rollback_image(
    services: Annotated[
        list[str],
        typer.Option("--service", help="A service of the policy; may be given again. Its set comes along."),
    ],
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="[SERVICE=]VERSION",
            help="A revision's number, a tag or a digest; for one service SERVICE= may be left out. "
            "Else the last known good one.",
        ),
    ] = None,
    repository: RepositoryOption = None,
    apply: ApplyOption = False,
    wait: WaitOption = False,
    json_output: JsonOption = False,
    policy: PolicyOption = None,
) -> None:
    """Roll services back to an earlier image, all that move together, verified for a soak time."""
    _run(
        "rollback-image",
        RollbackImageRequest,
        {"services": tuple(services), "to": _versions(to or [], services)},
        repository,
        apply=apply,
        wait=wait,
        json_output=json_output,
    )


def _versions(given: list[str], services: list[str]) -> dict[str, str]:
    """Read ``--to``: which version for which service.

    Raises:
        UsageError: It is not said for which service, or it is said twice.
    """
    versions: dict[str, str] = {}
    for one in given:
        service, named, version = one.rpartition("=")
        if not named and len(services) == 1:
            service = services[0]
        if not service or service in versions:
            raise UsageError(
                f"--to {one} does not say for which service."
                if not service
                else f"--to names {service} twice.",
                unchanged="Nothing was started.",
                next_step="write --to SERVICE=VERSION, once for each",
            )
        versions[service] = version
    return versions


def _run(
    procedure: str,
    model: type[ProcedureRequest],
    fields: Mapping[str, object],
    repository: str | None,
    *,
    apply: bool,
    wait: bool,
    json_output: bool,
) -> None:
    from deployments.prefect_runs import PrefectRuns
    from deployments.starting import Progress, follow, requester_login, start

    here = open_installation()
    if wait and not apply:
        raise UsageError("--wait goes with --apply: a plan is shown as soon as it is made.")
    request = _request(
        model, {**fields, "repository": repository or _only_repository(here.policy.repositories)}, apply
    )
    here.policy.repository(request.repository)
    api_url = here.settings.prefect_api_url
    if api_url is None:
        raise UsageError(
            "No Prefect server is named: procedures run there.",
            unchanged="Nothing was started.",
            next_step="run `runbook up` in another terminal and set PREFECT_API_URL as it says",
        )
    here.settings.require_private_prefect()
    with PrefectRuns(api_url, auth_string=here.settings.prefect_auth) as prefect:
        requester = requester_login(here) if apply else None
        if apply and requester is None:
            terminal.note(
                "No token of yours was found, so nobody can name who asks: one approver more is needed."
            )
        run = start(here, prefect, procedure, request, requester=requester)
        ui = api_url.removesuffix("/api")
        terminal.note(f"{procedure} started: {ui}/v2/runs/flow-run/{run.id}")
        last: Progress | None = None
        for seen in follow(
            here,
            prefect,
            run.id,
            clock=here.clock,
            until=lambda progress: apply and not wait and progress.waits_for_approval,
        ):
            _tell(seen)
            last = seen
        if last is None:
            raise AssertionError("a run that is followed is seen at least once")
        plan = prefect.artifact(run.id, "plan")
    _show(last, plan, json_output=json_output)
    raise typer.Exit(_exit_code(last))


def _request(model: type[ProcedureRequest], fields: Mapping[str, object], apply: bool) -> ProcedureRequest:
    try:
        return model.model_validate({**fields, "mode": Mode.APPLY if apply else Mode.PLAN})
    except ValidationError as error:
        reasons = "; ".join(
            ": ".join([".".join(map(str, part["loc"])), words] if part["loc"] else [words])
            for part in error.errors()
            for words in (part["msg"].removeprefix("Value error, "),)
        )
        raise UsageError(f"That cannot be asked: {reasons}.", unchanged="Nothing was started.") from error


def _only_repository(repositories: tuple[object, ...]) -> str:
    names = [str(getattr(repository, "name", "")) for repository in repositories]
    if len(names) == 1:
        return names[0]
    raise UsageError(
        "The policy names several repositories.", next_step=f"say which: --repo {' | '.join(names)}"
    )


def _tell(seen: "Progress") -> None:
    line = seen.state.state
    if seen.total:
        line += f", {seen.done} of {seen.total} effects settled"
    terminal.note(line)
    if seen.waits_for_approval and seen.plan is not None:
        terminal.note(f"Decide on {seen.plan.issue_url}")
        terminal.note(f"Approve:  runbook approve {seen.plan.short_digest}", style="bold")


def _show(seen: "Progress", plan: str | None, *, json_output: bool) -> None:
    if json_output:
        terminal.print_json(
            {
                "run": seen.state.id,
                "state": seen.state.state,
                "message": seen.state.message,
                "plan": seen.plan.digest if seen.plan else None,
                "issue": seen.plan.issue_url if seen.plan else None,
                "effects": {"settled": seen.done, "total": seen.total},
            }
        )
        return
    if plan is not None and seen.state.state == "Planned":
        terminal.print_markdown(plan)
    terminal.say(f"{seen.state.state}: {seen.state.message}" if seen.state.message else seen.state.state)


def _exit_code(seen: "Progress") -> int:
    if seen.waits_for_approval:
        return WAITS_FOR_APPROVAL
    if seen.state.state == "NeedsPerson":
        return NEEDS_A_PERSON
    return DONE if seen.state.type == "COMPLETED" else FAILED

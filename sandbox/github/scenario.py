"""Reads a scenario file (YAML) into the state of the GitHub stand-in; sandbox/README.md has the format."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from sandbox.clock import Clock
from sandbox.github.records import (
    ROLES,
    Artifact,
    Attempt,
    Comment,
    Commit,
    Hook,
    Issue,
    JobPlan,
    Label,
    Pull,
    Repository,
    Run,
    Token,
    User,
    Workflow,
    sha_of,
)
from sandbox.github.scenario_releases import read_changes, read_deployment, read_image
from sandbox.github.scenario_values import ScenarioError, known, read_logs, seconds
from sandbox.github.state import State
from sandbox.limits import LimitSettings
from sandbox.wire import Json


def load(source: Path | str | Mapping[str, Any]) -> Json:
    """Return the scenario as data.

    Args:
        source: A YAML file, or the data itself.

    Raises:
        ScenarioError: The file cannot be read or is not a mapping.
    """
    if isinstance(source, Mapping):
        return dict(source)
    try:
        data = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"scenario {source}: {error}. Nothing was started.") from error
    if not isinstance(data, dict):
        raise ScenarioError(f"scenario {source}: a mapping is wanted. Nothing was started.")
    return data


def build(data: Json, clock: Clock) -> tuple[State, LimitSettings]:
    """Make the state that a scenario describes.

    Raises:
        ScenarioError: A key is unknown or a value cannot be used.
    """
    known(data, "scenario", "bot", "repository", "webhook_secret", "limits", "users", "repositories")
    state = State(clock)
    state.webhook_secret = str(data.get("webhook_secret", state.webhook_secret))
    for login, user in (data.get("users") or {}).items():
        _add_user(state, login, user or {})
    for full_name, content in (data.get("repositories") or {}).items():
        add_repository(state, full_name, content or {})
    try:
        limits = LimitSettings(**(data.get("limits") or {}))
    except TypeError as error:
        raise ScenarioError(f"limits: {error}") from error
    return state, limits


def add_repository(state: State, full_name: str, content: Json) -> None:
    """Add one repository to a state, also of a stand-in that runs already.

    Args:
        state: What it is added to.
        full_name: owner/name.
        content: What a scenario says below that name.

    Raises:
        ScenarioError: A key is unknown or a value cannot be used.
    """
    _Builder(state, full_name, content).build()


def add_runs(state: State, repository: Repository, items: list[Json], *, workflows: list[Json]) -> list[int]:
    """Add runs to a repository of a stand-in that runs already; return their ids.

    Args:
        state: What the repository belongs to.
        repository: Where they run.
        items: What a scenario says below ``runs``; ``commit`` names a commit by its sha.
        workflows: What it says below ``workflows``: those that are to be added before.

    Raises:
        ScenarioError: A key is unknown or a value cannot be used.
    """
    builder = _Builder(state, repository.full_name, {"logs": repository.logs})
    builder.repository = repository
    builder.commit_of = {commit.sha: commit for commit in repository.commits}
    for item in workflows:
        builder.add_workflow(item)
    before = set(repository.runs)
    for item in items:
        builder.add_runs(item)
    return [number for number in repository.runs if number not in before]


def _add_user(state: State, login: str, data: Json) -> None:
    known(data, f"users.{login}", "name", "type", "tokens", "permissions")
    tokens = []
    for index, one in enumerate(data.get("tokens") or [{"permissions": data.get("permissions")}]):
        known(one, f"users.{login}.tokens", "value", "permissions", "app")
        made_up = "ghp_" + hashlib.sha256(f"{login} {index}".encode()).hexdigest()[:36]
        tokens.append(Token(one.get("value", made_up), one.get("permissions"), one.get("app")))
    user = User(
        state.new_id("user", 9001), login, data.get("name", login.title()), data.get("type", "User"), tokens
    )
    state.users[login.lower()] = user


class _Builder:
    """Fills one repository."""

    def __init__(self, state: State, full_name: str, data: Json) -> None:
        self.state = state
        self.where = f"repositories.{full_name}"
        self.data = known(
            data,
            self.where,
            *(
                "private",
                "archived",
                "default_branch",
                "roles",
                "files",
                "required_checks",
                "rules",
                "commits",
            ),
            *("workflows", "logs", "runs", "caches", "labels", "issues", "pulls", "images", "hooks"),
            "deployments",
        )
        owner, _, name = full_name.partition("/")
        if not name:
            raise ScenarioError(f"{self.where}: the name must be owner/name")
        self.now = state.clock.now()
        self.repository = Repository(
            id=state.new_id("repository", 700_001),
            owner=owner,
            name=name,
            private=bool(data.get("private", False)),
            archived=bool(data.get("archived", False)),
            default_branch=data.get("default_branch", "main"),
            created_at=self.now - timedelta(days=400),
            roles={login.lower(): role for login, role in (data.get("roles") or {}).items()},
            files=dict(data.get("files") or {}),
            required_checks=dict(data.get("required_checks") or {}),
            rules={
                branch: [_rule(one, full_name) for one in rules]
                for branch, rules in (data.get("rules") or {}).items()
            },
            images=[read_image(state, one, self.now, self.where) for one in data.get("images") or []],
            logs=dict(data.get("logs") or {}),
        )
        if wrong := sorted(set(self.repository.roles.values()) - set(ROLES)):
            raise ScenarioError(f"{self.where}.roles: {wrong[0]!r} is none of {', '.join(ROLES)}")
        self.commit_of: dict[str, Commit] = {}

    def build(self) -> None:
        """Add the repository with its content to the state."""
        self.state.repositories[self.repository.full_name.lower()] = self.repository
        self._commits()
        for item in self.data.get("workflows") or []:
            self.add_workflow(item)
        for item in self.data.get("labels") or []:
            self._label(item)
        for item in self.data.get("pulls") or []:
            self._pull(item)
        for item in self.data.get("issues") or []:
            self._issue(item)
        for item in self.data.get("caches") or []:
            self._caches(item)
        for item in self.data.get("hooks") or []:
            self._hook(item)
        for item in self.data.get("deployments") or []:
            self._deployment(item)
        for item in self.data.get("runs") or []:
            self.add_runs(item)

    def _ago(self, item: Json, default: float = 3600.0) -> datetime:
        return self.now - timedelta(seconds=seconds(item.get("ago", default)))

    def _commits(self) -> None:
        items = self.data.get("commits") or [{"id": "first", "message": "Start"}]
        newer: Commit | None = None
        for item in items:  # newest first
            names = ("id", "sha", "message", "author", "ago", "branch", "files", "merges")
            known(item, f"{self.where}.commits", *names)
            files, how = read_changes(item.get("files") or [], self.where)
            commit = Commit(
                sha=item.get("sha") or sha_of(f"{self.repository.full_name} {item['id']}"),
                message=item.get("message", item["id"]),
                author=item.get("author", next(iter(self.state.users.values())).login),
                at=self._ago(item),
                branch=item.get("branch", self.repository.default_branch),
                files=files,
                parent=None,
                how=how,
            )
            if newer is not None and newer.branch == commit.branch:
                newer.parent = commit.sha
            newer = commit
            self.repository.commits.append(commit)
            self.commit_of[item["id"]] = commit
        for item in items:
            if "merges" in item:
                self.commit_of[item["id"]].merged = self._commit(item["merges"]).sha
        on_default = [one for one in self.repository.commits if one.branch == self.repository.default_branch]
        for commit in self.repository.commits:  # a branch began at what was there by then
            if commit.parent is None and commit.branch != self.repository.default_branch:
                commit.parent = next((one.sha for one in on_default if one.at <= commit.at), None)

    def add_workflow(self, item: Json) -> None:
        """Add a workflow file."""
        known(item, f"{self.where}.workflows", "file", "name", "state")
        path = f".github/workflows/{item['file']}"
        at = self.repository.created_at
        number = self.state.new_id("workflow", 4001)
        self.repository.workflows[number] = Workflow(
            number, item.get("name", path), path, item.get("state", "active"), at, at
        )
        self.repository.files.setdefault(path, f"name: {item.get('name', path)}\non: [push]\njobs: {{}}\n")

    def _label(self, item: Json | str) -> None:
        data = {"name": item} if isinstance(item, str) else item
        known(data, f"{self.where}.labels", "name", "color", "description")
        name = data["name"]
        self.repository.labels[name.lower()] = Label(
            self.state.new_id("label", 8001), name, data.get("color", "ededed"), data.get("description")
        )

    def _pull(self, item: Json) -> None:
        names = ("title", "author", "head", "base", "commit", "state", "draft", "ago", "merged_ago")
        known(item, f"{self.where}.pulls", *names)
        number = self.repository.next_number()
        merged = item.get("merged_ago")
        self.repository.pulls[number] = Pull(
            id=self.state.new_id("pull", 60_001),
            number=number,
            title=item["title"],
            author=item["author"],
            head=item["head"],
            base=item.get("base", self.repository.default_branch),
            sha=self._commit(item["commit"]).sha,
            state="closed" if merged is not None else item.get("state", "open"),
            draft=bool(item.get("draft", False)),
            created_at=self._ago(item),
            merged_at=None if merged is None else self.now - timedelta(seconds=seconds(merged)),
        )

    def _issue(self, item: Json) -> None:
        names = ("title", "body", "author", "state", "labels", "ago", "comments")
        known(item, f"{self.where}.issues", *names)
        at = self._ago(item)
        number = self.repository.next_number()
        for name in item.get("labels") or []:
            if name.lower() not in self.repository.labels:
                self._label(name)
        self.repository.issues[number] = Issue(
            id=self.state.new_id("issue", 1_000_001),
            number=number,
            title=item["title"],
            body=item.get("body"),
            author=item["author"],
            state=item.get("state", "open"),
            state_reason="completed" if item.get("state") == "closed" else None,
            labels=list(item.get("labels") or []),
            assignees=[],
            created_at=at,
            updated_at=at,
            closed_at=at if item.get("state") == "closed" else None,
            closed_by=item["author"] if item.get("state") == "closed" else None,
        )
        for one in item.get("comments") or []:
            known(one, f"{self.where}.issues.comments", "author", "body", "ago", "app")
            written = self._ago(one)
            comment_id = self.state.new_id("comment", 2_000_000_001)
            self.repository.comments[comment_id] = Comment(
                comment_id, number, one["author"], one["body"], written, written, one.get("app")
            )

    def _caches(self, item: Json) -> None:
        known(item, f"{self.where}.caches", "key", "ref", "size", "ago", "used_ago", "version", "count")
        for index in range(int(item.get("count", 1))):
            self.state.add_cache(
                self.repository,
                key=str(item["key"]).replace("{n}", str(index)),
                ref=item.get("ref", f"refs/heads/{self.repository.default_branch}"),
                size=int(item.get("size", 1_000_000)),
                at=self._ago(item, 86400.0),
                used_at=self._ago({"ago": item["used_ago"]}) if "used_ago" in item else None,
                version=item.get("version"),
            )

    def _commit(self, name: str) -> Commit:
        if name not in self.commit_of:
            raise ScenarioError(f"{self.where}: there is no commit {name!r} under commits")
        return self.commit_of[name]

    def _hook(self, item: Json) -> None:
        known(item, f"{self.where}.hooks", "url", "secret", "events", "active")
        hook = Hook(
            id=self.state.new_id("hook", 500_000_001),
            url=str(item["url"]),
            secret=item.get("secret", self.state.webhook_secret),
            events=list(item.get("events") or ["workflow_run", "issue_comment"]),
            active=bool(item.get("active", True)),
            created_at=self.repository.created_at,
            updated_at=self.repository.created_at,
        )
        self.repository.hooks[hook.id] = hook

    def _deployment(self, item: Json) -> None:
        names = ("environment", "commit", "ref", "author", "ago", "statuses")
        known(item, f"{self.where}.deployments", *names)
        commit = self._commit(item["commit"]) if "commit" in item else self.repository.commits[0]
        made = read_deployment(
            self.state,
            item,
            self.now,
            self.where,
            sha=commit.sha,
            ref=item.get("ref", commit.branch),
            author=item.get("author", commit.author),
        )
        self.repository.deployments[made.id] = made

    def add_runs(self, item: Json) -> None:
        """Add what one entry of ``runs`` describes."""
        names = ("workflow", "commit", "branch", "event", "actor", "title", "ago", "jobs", "attempts")
        more = ("conclusion", "logs_gone", "artifacts", "count", "every", "queued_seconds", "fork")
        known(item, f"{self.where}.runs", *names, *more)
        count = int(item.get("count", 1))
        ago, every = seconds(item.get("ago", 3600)), seconds(item.get("every", 3600))
        for index in reversed(range(count)):  # oldest first, so that run numbers rise with time
            self._run(item, self.now - timedelta(seconds=ago + every * index))

    def _run(self, item: Json, at: datetime) -> None:
        workflow = next(
            (one for one in self.repository.workflows.values() if one.path.endswith("/" + item["workflow"])),
            None,
        )
        if workflow is None:
            raise ScenarioError(f"{self.where}.runs: there is no workflow {item['workflow']!r}")
        commit = self._commit(item["commit"]) if "commit" in item else self.repository.commits[0]
        run = Run(
            id=self.state.new_id("run", 9_000_000_001),
            number=1 + sum(run.workflow_id == workflow.id for run in self.repository.runs.values()),
            workflow_id=workflow.id,
            branch=item.get("branch", commit.branch),
            event=item.get("event", "push"),
            sha=commit.sha,
            actor=item.get("actor", commit.author),
            title=item.get("title", commit.message.splitlines()[0]),
            created_at=at,
            attempts=[],
            conclusion=item.get("conclusion"),
            logs_gone=bool(item.get("logs_gone", False)),
            fork=item.get("fork"),
        )
        self.repository.runs[run.id] = run
        self._attempts(item, run)
        for artifact in item.get("artifacts") or []:
            known(artifact, f"{self.where}.runs.artifacts", "name", "files", "expired")
            number = self.state.new_id("artifact", 50_001)
            self.repository.artifacts[number] = Artifact(
                number,
                run.id,
                artifact["name"],
                dict(artifact.get("files") or {}),
                run.latest.ended_at(),
                bool(artifact.get("expired", False)),
            )

    def _attempts(self, item: Json, run: Run) -> None:
        plans = [self._plan(job) for job in item.get("jobs") or []]
        at = run.created_at
        for number in range(1, int(item.get("attempts", 1)) + 1):
            queued = seconds(item.get("queued_seconds", 5))
            jobs = [
                self.state.new_job(plan, attempt=number, queued_at=at, queued_seconds=queued)
                for plan in plans
            ]
            attempt: Attempt = self.state.start_attempt(
                self.repository, run, actor=run.actor, jobs=jobs, at=at
            )
            for job in jobs:
                if job.ends_at <= self.now:  # history is as the scenario tells it
                    job.conclusion = job.plan.conclusion
            at = attempt.ended_at() + timedelta(seconds=60)

    def _plan(self, item: Json) -> JobPlan:
        names = (
            "name",
            "seconds",
            "conclusion",
            "steps",
            "log",
            "fails_while_cache",
            "saves_caches",
            "rerun",
        )
        known(item, f"{self.where}.runs.jobs", *names)
        conclusion = item.get("conclusion", "success")
        rerun = item.get("rerun")
        blocker = item.get("fails_while_cache")
        main_ref = f"refs/heads/{self.repository.default_branch}"
        return JobPlan(
            name=item["name"],
            seconds=seconds(item.get("seconds", 60)),
            conclusion=conclusion,
            steps=[_step(one) for one in item.get("steps") or ["Set up job", "Run", "Complete job"]],
            log=read_logs(item.get("log"), self.repository.logs, self.now),
            fails_while_cache=(blocker["key"], blocker.get("ref", main_ref)) if blocker else None,
            saves_cache=[
                (one["key"], one.get("ref", main_ref), int(one.get("size", 1_000_000)))
                for one in item.get("saves_caches") or []
            ],
            rerun=self._plan({**{k: v for k, v in item.items() if k != "rerun"}, **rerun}) if rerun else None,
        )


def _rule(item: Json, full_name: str) -> Json:
    """Complete a rule that the scenario gives in short."""
    origin = {"ruleset_source_type": "Repository", "ruleset_source": full_name, "ruleset_id": 1}
    rule = {**origin, **item}
    if rule.get("type") == "required_status_checks":
        rule["parameters"] = {"strict_required_status_checks_policy": False, **rule.get("parameters", {})}
    return rule


def _step(item: Any) -> tuple[str, str]:
    if isinstance(item, str):
        return item, "success"
    ((name, conclusion),) = item.items()
    return str(name), str(conclusion)

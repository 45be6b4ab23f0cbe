"""The JSON that GitHub sends for each kind of thing; integration/github judges it."""

from datetime import datetime
from typing import Any

from sandbox.github.routing import Call
from sandbox.github.state import (
    Artifact,
    Attempt,
    Cache,
    Comment,
    Commit,
    Event,
    Issue,
    Job,
    Label,
    Pull,
    Repository,
    Run,
    Workflow,
    node_id,
    sha_of,
)
from sandbox.wire import Json

USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
REPOSITORY_LINKS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
ASSOCIATIONS = {"read": "CONTRIBUTOR", "none": "NONE"}


def when(at: datetime | None) -> str | None:
    """Return a time as GitHub writes it."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def repo_url(call: Call, repository: Repository) -> str:
    """Return the API address of a repository."""
    return f"{call.api}/repos/{repository.full_name}"


def user(call: Call, login: str) -> Json:
    """Return a simple user; logins without an account (organisations) get one made up."""
    account = call.state.user(login)
    number = account.id if account else int(sha_of(login)[:6], 16)
    url = f"{call.api}/users/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": node_id("User", number),
        "avatar_url": f"{call.site}/avatars/u/{number}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{call.site}/{login}",
        **{key: url + suffix for key, suffix in USER_LINKS.items()},
        "type": account.type if account else "Organization",
        "user_view_type": "public",
        "site_admin": False,
    }


def full_user(call: Call, login: str) -> Json:
    """Return a user as ``GET /user`` does."""
    account = call.state.user(login)
    joined = "2020-01-01T00:00:00Z"
    blanks = dict.fromkeys(("company", "location", "email", "hireable", "bio", "twitter_username"))
    return {
        **user(call, login),
        "name": account.name if account else None,
        **blanks,
        "blog": "",
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": joined,
        "updated_at": joined,
    }


def repository(call: Call, one: Repository) -> Json:
    """Return a minimal repository, as runs carry it."""
    url = repo_url(call, one)
    return {
        "id": one.id,
        "node_id": node_id("Repository", one.id),
        "name": one.name,
        "full_name": one.full_name,
        "owner": user(call, one.owner),
        "private": one.private,
        "html_url": f"{call.site}/{one.full_name}",
        "description": None,
        "fork": False,
        "url": url,
        **{key: url + suffix for key, suffix in REPOSITORY_LINKS.items()},
    }


def pull_repository(call: Call, one: Repository) -> Json:
    """Return a repository as pull requests carry it."""
    html = f"{call.site}/{one.full_name}"
    open_issues = sum(issue.state == "open" for issue in one.issues.values())
    return {
        **repository(call, one),
        "git_url": f"git://{html.split('://')[1]}.git",
        "ssh_url": f"git@{html.split('://')[1].replace('/', ':', 1)}.git",
        "clone_url": f"{html}.git",
        "svn_url": html,
        "mirror_url": None,
        "homepage": None,
        "language": "Python",
        "license": None,
        "forks_count": 0,
        "forks": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "watchers": 0,
        "size": 1024,
        "default_branch": one.default_branch,
        "open_issues_count": open_issues,
        "open_issues": open_issues,
        "is_template": False,
        "topics": [],
        "has_issues": True,
        "has_projects": True,
        "has_wiki": False,
        "has_pages": False,
        "has_downloads": True,
        "has_discussions": False,
        "archived": one.archived,
        "disabled": False,
        "visibility": "private" if one.private else "public",
        "allow_forking": True,
        "web_commit_signoff_required": False,
        "pushed_at": when(one.commits[0].at),
        "created_at": when(one.created_at),
        "updated_at": when(one.commits[0].at),
    }


def full_repository(call: Call, one: Repository) -> Json:
    """Return a repository as ``GET /repos/{owner}/{repo}`` does, with the actor's permissions."""
    permissions = {
        "admin": call.has_role("admin"),
        "maintain": call.has_role("maintain"),
        "push": call.has_role("write"),
        "triage": call.has_role("triage"),
        "pull": call.has_role("read"),
    }
    return {
        **pull_repository(call, one),
        "permissions": permissions,
        "network_count": 0,
        "subscribers_count": 0,
        "organization": user(call, one.owner),
    }


def permission_level(role: str) -> tuple[str, Json]:
    """Return the legacy permission of a role (admin, write, read, none) and the flags it implies."""
    order = ("none", "read", "triage", "write", "maintain", "admin")
    legacy = {"maintain": "write", "triage": "read"}.get(role, role)
    names = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}
    return legacy, {flag: order.index(role) >= order.index(least) for flag, least in names.items()}


def commit(call: Call, repo: Repository, one: Commit, *, files: bool = False) -> Json:
    """Return a commit; with ``files`` as the single-commit call does."""
    url = repo_url(call, repo)
    html = f"{call.site}/{repo.full_name}/commit"
    git_user = {"name": one.author, "email": f"{one.author}@example.com", "date": when(one.at)}
    parents = [one.parent] if one.parent else []
    body: Json = {
        "sha": one.sha,
        "node_id": node_id("Commit", int(one.sha[:8], 16)),
        "commit": {
            "author": git_user,
            "committer": git_user,
            "message": one.message,
            "tree": {"sha": sha_of("tree" + one.sha), "url": f"{url}/git/trees/{sha_of('tree' + one.sha)}"},
            "url": f"{url}/git/commits/{one.sha}",
            "comment_count": 0,
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        },
        "url": f"{url}/commits/{one.sha}",
        "html_url": f"{html}/{one.sha}",
        "comments_url": f"{url}/commits/{one.sha}/comments",
        "author": user(call, one.author),
        "committer": user(call, one.author),
        "parents": [
            {"sha": sha, "url": f"{url}/commits/{sha}", "html_url": f"{html}/{sha}"} for sha in parents
        ],
    }
    if files:
        body["stats"] = {"total": len(one.files), "additions": len(one.files), "deletions": 0}
        body["files"] = [_changed_file(call, repo, one, path) for path in one.files]
    return body


def _changed_file(call: Call, repo: Repository, one: Commit, path: str) -> Json:
    html = f"{call.site}/{repo.full_name}"
    return {
        "sha": sha_of(path + one.sha),
        "filename": path,
        "status": "modified",
        "additions": 1,
        "deletions": 0,
        "changes": 1,
        "blob_url": f"{html}/blob/{one.sha}/{path}",
        "raw_url": f"{html}/raw/{one.sha}/{path}",
        "contents_url": f"{repo_url(call, repo)}/contents/{path}?ref={one.sha}",
    }


def pull(call: Call, repo: Repository, one: Pull) -> Json:
    """Return a pull request as lists do."""
    url = f"{repo_url(call, repo)}/pulls/{one.number}"
    issue_url = f"{repo_url(call, repo)}/issues/{one.number}"
    html = f"{call.site}/{repo.full_name}/pull/{one.number}"
    statuses = f"{repo_url(call, repo)}/statuses/{one.sha}"
    base = repo.head(one.base)

    def side(ref: str, sha: str) -> Json:
        return {
            "label": f"{repo.owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": user(call, repo.owner),
            "repo": pull_repository(call, repo),
        }

    links = {
        "self": url,
        "html": html,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{repo_url(call, repo)}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": statuses,
    }
    return {
        "url": url,
        "id": one.id,
        "node_id": node_id("PullRequest", one.id),
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "issue_url": issue_url,
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "comments_url": links["comments"],
        "statuses_url": statuses,
        "number": one.number,
        "state": one.state,
        "locked": False,
        "title": one.title,
        "user": user(call, one.author),
        "body": None,
        "labels": [],
        "milestone": None,
        "created_at": when(one.created_at),
        "updated_at": when(one.merged_at or one.created_at),
        "closed_at": when(one.merged_at),
        "merged_at": when(one.merged_at),
        "merge_commit_sha": None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "head": side(one.head, one.sha),
        "base": side(one.base, base.sha if base else one.sha),
        "_links": {name: {"href": href} for name, href in links.items()},
        "author_association": association(call, repo, one.author),
        "auto_merge": None,
        "draft": one.draft,
    }


def association(call: Call, repo: Repository, login: str) -> str:
    """Return how an author relates to a repository."""
    return ASSOCIATIONS.get(call.role_in(repo, login), "MEMBER")


def workflow(call: Call, repo: Repository, one: Workflow) -> Json:
    """Return a workflow."""
    html = f"{call.site}/{repo.full_name}"
    name = one.path.rsplit("/", 1)[1]
    return {
        "id": one.id,
        "node_id": node_id("Workflow", one.id),
        "name": one.name,
        "path": one.path,
        "state": one.state,
        "created_at": when(one.created_at),
        "updated_at": when(one.updated_at),
        "url": f"{repo_url(call, repo)}/actions/workflows/{one.id}",
        "html_url": f"{html}/blob/{repo.default_branch}/{one.path}",
        "badge_url": f"{html}/workflows/{name}/badge.svg",
    }


def run(call: Call, repo: Repository, one: Run, attempt: Attempt) -> Json:
    """Return a workflow run as of one of its attempts."""
    flow = repo.workflows[one.workflow_id]
    url = f"{repo_url(call, repo)}/actions/runs/{one.id}"
    html = f"{call.site}/{repo.full_name}/actions/runs/{one.id}"
    old = attempt is not one.latest
    base = f"{url}/attempts/{attempt.number}" if old else url
    status = attempt.status(call.now)
    done = attempt.ended_at() if status == "completed" else attempt.started_at
    suite = one.id - 1_000_000_000
    return {
        "id": one.id,
        "name": flow.name,
        "node_id": node_id("WorkflowRun", one.id),
        "head_branch": one.branch,
        "head_sha": one.sha,
        "path": flow.path,
        "display_title": one.title,
        "run_number": one.number,
        "event": one.event,
        "status": status,
        "conclusion": (one.conclusion or attempt.conclusion(call.now)) if status == "completed" else None,
        "workflow_id": flow.id,
        "check_suite_id": suite,
        "check_suite_node_id": node_id("CheckSuite", suite),
        "url": url,
        "html_url": f"{html}/attempts/{attempt.number}" if old else html,
        "pull_requests": [
            _run_pull(call, repo, two)
            for two in repo.pulls.values()
            if two.sha == one.sha and two.state == "open"
        ],
        "created_at": when(one.created_at),
        "updated_at": when(done),
        "actor": user(call, one.actor),
        "run_attempt": attempt.number,
        "referenced_workflows": [],
        "run_started_at": when(attempt.started_at),
        "triggering_actor": user(call, attempt.actor),
        "jobs_url": f"{base}/jobs",
        "logs_url": f"{base}/logs",
        "check_suite_url": f"{repo_url(call, repo)}/check-suites/{suite}",
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": f"{url}/attempts/{attempt.number - 1}" if attempt.number > 1 else None,
        "workflow_url": f"{repo_url(call, repo)}/actions/workflows/{flow.id}",
        "head_commit": _head_commit(repo, one),
        "repository": repository(call, repo),
        "head_repository": repository(call, repo),
    }


def _run_pull(call: Call, repo: Repository, one: Pull) -> Json:
    own = {"id": repo.id, "url": repo_url(call, repo), "name": repo.name}
    base = repo.head(one.base)
    return {
        "id": one.id,
        "number": one.number,
        "url": f"{repo_url(call, repo)}/pulls/{one.number}",
        "head": {"ref": one.head, "sha": one.sha, "repo": own},
        "base": {"ref": one.base, "sha": base.sha if base else one.sha, "repo": own},
    }


def _head_commit(repo: Repository, one: Run) -> Json | None:
    found = next((two for two in repo.commits if two.sha == one.sha), None)
    if found is None:
        return None
    person = {"name": found.author, "email": f"{found.author}@example.com"}
    return {
        "id": found.sha,
        "tree_id": sha_of("tree" + found.sha),
        "message": found.message,
        "timestamp": when(found.at),
        "author": person,
        "committer": person,
    }


def job(call: Call, repo: Repository, one_run: Run, one: Job) -> Json:
    """Return a job with its steps."""
    url = repo_url(call, repo)
    status = one.status(call.now)
    started = one.starts_at if status != "queued" else one.queued_at
    return {
        "id": one.id,
        "run_id": one_run.id,
        "workflow_name": repo.workflows[one_run.workflow_id].name,
        "head_branch": one_run.branch,
        "run_url": f"{url}/actions/runs/{one_run.id}",
        "run_attempt": one.attempt,
        "node_id": node_id("CheckRun", one.id),
        "head_sha": one_run.sha,
        "url": f"{url}/actions/jobs/{one.id}",
        "html_url": f"{call.site}/{repo.full_name}/actions/runs/{one_run.id}/job/{one.id}",
        "status": status,
        "conclusion": one.conclusion if status == "completed" else None,
        "created_at": when(one.queued_at),
        "started_at": when(started),
        "completed_at": when(one.ends_at) if status == "completed" else None,
        "name": one.plan.name,
        "steps": _steps(one, status),
        "check_run_url": f"{url}/check-runs/{one.id}",
        "labels": ["ubuntu-latest"],
        "runner_id": 1 if status != "queued" else None,
        "runner_name": "GitHub Actions 1" if status != "queued" else None,
        "runner_group_id": 0 if status != "queued" else None,
        "runner_group_name": "GitHub Actions" if status != "queued" else None,
    }


def _steps(one: Job, status: str) -> list[Json]:
    if status == "queued":
        return []
    span = (one.ends_at - one.starts_at) / max(1, len(one.plan.steps))
    done = status == "completed"
    steps: list[Json] = []
    for index, (name, when_failed) in enumerate(one.plan.steps):
        conclusion: Any = when_failed if one.conclusion == "failure" else one.conclusion
        steps.append(
            {
                "name": name,
                "status": "completed" if done else "in_progress",
                "conclusion": conclusion if done else None,
                "number": index + 1,
                "started_at": when(one.starts_at + span * index),
                "completed_at": when(one.starts_at + span * (index + 1)) if done else None,
            }
        )
    return steps


def cache(one: Cache) -> Json:
    """Return a cache entry; its times have seven decimals, unlike GitHub's other ones."""

    def fine(at: datetime) -> str:
        return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"

    return {
        "id": one.id,
        "ref": one.ref,
        "key": one.key,
        "version": one.version,
        "last_accessed_at": fine(one.used_at),
        "created_at": fine(one.created_at),
        "size_in_bytes": one.size,
    }


def artifact(call: Call, repo: Repository, one: Artifact) -> Json:
    """Return an artifact."""
    url = f"{repo_url(call, repo)}/actions/artifacts/{one.id}"
    owner = repo.runs[one.run_id]
    return {
        "id": one.id,
        "node_id": node_id("Artifact", one.id),
        "name": one.name,
        "size_in_bytes": sum(len(text) for text in one.files.values()),
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expired": one.expired,
        "created_at": when(one.created_at),
        "updated_at": when(one.created_at),
        "expires_at": when(one.created_at.replace(year=one.created_at.year + 1)),
        "workflow_run": {
            "id": owner.id,
            "repository_id": repo.id,
            "head_repository_id": repo.id,
            "head_branch": owner.branch,
            "head_sha": owner.sha,
        },
    }


def label(call: Call, repo: Repository, one: Label) -> Json:
    """Return a label."""
    return {
        "id": one.id,
        "node_id": node_id("Label", one.id),
        "url": f"{repo_url(call, repo)}/labels/{one.name}",
        "name": one.name,
        "color": one.color,
        "default": False,
        "description": one.description,
    }


def app(call: Call, name: str | None) -> Json | None:
    """Return the app that acted for somebody, None for a person's own act."""
    if name is None:
        return None
    number = int(sha_of(name)[:6], 16)
    return {
        "id": number,
        "slug": name,
        "node_id": node_id("App", number),
        "owner": user(call, "example-apps"),
        "name": name,
        "description": None,
        "external_url": "https://example.com/app",
        "html_url": f"{call.site}/apps/{name}",
        "created_at": "2024-01-01T00:00:00Z",
        "updated_at": "2024-01-01T00:00:00Z",
        "permissions": {"issues": "write", "metadata": "read"},
        "events": [],
    }


def issue(call: Call, repo: Repository, one: Issue) -> Json:
    """Return an issue."""
    url = f"{repo_url(call, repo)}/issues/{one.number}"
    assignees = [user(call, login) for login in one.assignees]
    return {
        "id": one.id,
        "node_id": node_id("Issue", one.id),
        "url": url,
        "repository_url": repo_url(call, repo),
        "labels_url": url + "/labels{/name}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": f"{call.site}/{repo.full_name}/issues/{one.number}",
        "number": one.number,
        "state": one.state,
        "state_reason": one.state_reason,
        "title": one.title,
        "body": one.body,
        "user": user(call, one.author),
        "labels": [label(call, repo, repo.labels[name.lower()]) for name in one.labels],
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "milestone": None,
        "locked": False,
        "active_lock_reason": None,
        "comments": sum(two.issue == one.number for two in repo.comments.values()),
        "created_at": when(one.created_at),
        "updated_at": when(one.updated_at),
        "closed_at": when(one.closed_at),
        "closed_by": user(call, one.closed_by) if one.closed_by else None,
        "author_association": association(call, repo, one.author),
        "performed_via_github_app": app(call, one.app),
    }


def comment(call: Call, repo: Repository, one: Comment) -> Json:
    """Return a comment on an issue."""
    return {
        "id": one.id,
        "node_id": node_id("IssueComment", one.id),
        "url": f"{repo_url(call, repo)}/issues/comments/{one.id}",
        "html_url": f"{call.site}/{repo.full_name}/issues/{one.issue}#issuecomment-{one.id}",
        "issue_url": f"{repo_url(call, repo)}/issues/{one.issue}",
        "body": one.body,
        "user": user(call, one.author),
        "created_at": when(one.created_at),
        "updated_at": when(one.updated_at),
        "author_association": association(call, repo, one.author),
        "performed_via_github_app": app(call, one.app),
    }


def event(call: Call, repo: Repository, one: Event) -> Json:
    """Return an event of an issue."""
    body: Json = {
        "id": one.id,
        "node_id": node_id("Event", one.id),
        "url": f"{repo_url(call, repo)}/issues/events/{one.id}",
        "actor": user(call, one.actor),
        "event": one.kind,
        "commit_id": None,
        "commit_url": None,
        "created_at": when(one.at),
        "performed_via_github_app": None,
    }
    if one.label is not None:
        known = repo.labels.get(one.label.lower())
        body["label"] = {"name": one.label, "color": known.color if known else "ededed"}
    if one.rename is not None:
        body["rename"] = {"from": one.rename[0], "to": one.rename[1]}
    return body

"""Repositories, permissions, commits, pull requests."""

from sandbox.github.records import ROLES, Commit, Pull, Repository, node_id
from sandbox.github.routing import Call
from sandbox.github.shapes.common import association, repo_url, user, when
from sandbox.github.trees import blob_of, tree_of
from sandbox.wire import Json

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
    legacy = {"maintain": "write", "triage": "read"}.get(role, role)
    names = {"pull": "read", "triage": "triage", "push": "write", "maintain": "maintain", "admin": "admin"}
    return legacy, {flag: ROLES.index(role) >= ROLES.index(least) for flag, least in names.items()}


def commit(call: Call, repo: Repository, one: Commit, *, files: bool = False) -> Json:
    """Return a commit; with ``files`` as the single-commit call does."""
    url = repo_url(call, repo)
    html = f"{call.site}/{repo.full_name}/commit"
    git_user = {"name": one.author, "email": f"{one.author}@example.com", "date": when(one.at)}
    parents = [sha for sha in (one.parent, one.merged) if sha]
    body: Json = {
        "sha": one.sha,
        "node_id": node_id("Commit", int(one.sha[:8], 16)),
        "commit": {
            "author": git_user,
            "committer": git_user,
            "message": one.message,
            "tree": {"sha": one.tree_id, "url": f"{url}/git/trees/{one.tree_id}"},
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
        body["files"] = [changed_file(call, repo, one, path) for path in one.files]
    return body


def changed_file(call: Call, repo: Repository, one: Commit, path: str) -> Json:
    """Return a file that a commit changed."""
    how = one.how.get(path, "modified")
    if how != "removed":
        blob = blob_of(repo, one, path) if how in ("added", "modified") else tree_of(repo, one)[path][1]
    else:
        before = repo.commit(one.parent or "")
        blob = tree_of(repo, before).get(path, ("", ""))[1] if before else ""
    status = how if how in ("added", "removed", "modified") else "renamed"
    body = file_entry(call, repo, one, path, status, blob)
    return {**body, "previous_filename": how} if status == "renamed" else body


def file_entry(call: Call, repo: Repository, one: Commit, path: str, status: str, blob: str) -> Json:
    """Return a file that changed up to a commit.

    Args:
        call: The call.
        repo: The repository.
        one: The commit.
        path: The file.
        status: added, removed, modified, renamed.
        blob: Its content's id; of a removed one, that of what was removed.
    """
    html = f"{call.site}/{repo.full_name}"
    return {
        "sha": blob,
        "filename": path,
        "status": status,
        "additions": 0 if status == "removed" else 1,
        "deletions": 1 if status == "removed" else 0,
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
        "body": one.body,
        "labels": [],
        "milestone": None,
        "created_at": when(one.created_at),
        "updated_at": when(one.merged_at or one.closed_at or one.created_at),
        "closed_at": when(one.merged_at or one.closed_at),
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


def full_pull(call: Call, repo: Repository, one: Pull) -> Json:
    """Return a pull request as the single calls do."""
    merged = one.merged_at is not None
    return {
        **pull(call, repo, one),
        "merged": merged,
        "mergeable": None if merged or one.state == "closed" else True,
        "rebaseable": None,
        "mergeable_state": "unknown" if merged or one.state == "closed" else "clean",
        "merged_by": user(call, one.author) if merged else None,
        "comments": 0,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": 1,
        "additions": 1,
        "deletions": 0,
        "changed_files": 1,
    }

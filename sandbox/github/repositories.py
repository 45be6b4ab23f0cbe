"""Accounts, repositories, collaborators, branches, commits, pull requests, files."""

import base64

from sandbox.github import shapes
from sandbox.github.records import ROLES, Commit, Repository, sha_of
from sandbox.github.routing import REPOSITORY, Call, invalid, routes
from sandbox.github.trees import ancestors, tree_of
from sandbox.wire import Bytes, Json, Refused, Reply


@routes.add("GET", "/user")
def get_authenticated_user(call: Call) -> Reply:
    """Return the account that the token belongs to."""
    return Reply(200, shapes.full_user(call, call.login))


@routes.add("GET", "/users/{login}")
def get_user(call: Call) -> Reply:
    """Return any account."""
    account = call.state.user(call.params["login"])
    if account is None:
        raise Refused(404, "Not Found")
    return Reply(200, shapes.full_user(call, account.login))


@routes.add("GET", REPOSITORY, permission="metadata:read")
def get_repository(call: Call) -> Reply:
    """Return a repository with the actor's permissions in it."""
    return Reply(200, shapes.full_repository(call, call.repo))


@routes.add("GET", REPOSITORY + "/collaborators/{login}/permission", permission="metadata:read", role="write")
def get_collaborator_permission(call: Call) -> Reply:
    """Return the permission (four legacy levels) and the role (five) of an account."""
    account = call.state.user(call.params["login"])
    if account is None:
        raise Refused(404, f"{call.params['login']} is not a user")
    role = call.role_in(call.repo, account.login)
    legacy, flags = shapes.permission_level(role)
    user = {**shapes.user(call, account.login), "permissions": flags, "role_name": role}
    return Reply(200, {"permission": legacy, "role_name": role, "user": user})


@routes.add("PUT", REPOSITORY + "/collaborators/{login}", permission="administration:write", role="admin")
def put_collaborator(call: Call) -> Reply:
    """Give an account a role; at once, as for a member of the organisation."""
    account = call.state.user(call.params["login"])
    if account is None:
        raise Refused(404, "Not Found")
    asked = call.data().get("permission", "push")
    role = {"pull": "read", "push": "write"}.get(asked, asked)
    if role not in ROLES:
        raise invalid("Repository", "permission", "invalid")
    call.repo.roles[account.login.lower()] = role
    return call.created(None, status=204)


@routes.add("DELETE", REPOSITORY + "/collaborators/{login}", permission="administration:write", role="admin")
def delete_collaborator(call: Call) -> Reply:
    """Take an account's role away."""
    call.repo.roles.pop(call.params["login"].lower(), None)
    return call.created(None, status=204)


def _head(call: Call, repo: Repository) -> Commit:
    commit = repo.head(call.params["branch"])
    if commit is None:
        raise Refused(404, "Branch not found")
    return commit


@routes.add("GET", REPOSITORY + "/branches/{branch}", permission="contents:read")
def get_branch(call: Call) -> Reply:
    """Return a branch with the checks that its classic protection requires."""
    repo, branch = call.repo, call.params["branch"]
    head = _head(call, repo)
    url = f"{shapes.repo_url(call, repo)}/branches/{branch}"
    checks = repo.required_checks.get(branch)
    return Reply(
        200,
        {
            "name": branch,
            "commit": shapes.commit(call, repo, head),
            "_links": {"self": url, "html": f"{call.site}/{repo.full_name}/tree/{branch}"},
            "protected": checks is not None or branch in repo.rules,
            "protection": {
                "enabled": checks is not None,
                "required_status_checks": {
                    "enforcement_level": "off" if checks is None else "non_admins",
                    "contexts": checks or [],
                    "checks": [{"context": name, "app_id": None} for name in checks or []],
                },
            },
            "protection_url": f"{url}/protection",
        },
    )


@routes.add(
    "GET",
    REPOSITORY + "/branches/{branch}/protection/required_status_checks",
    permission="administration:read",
    role="admin",
    hidden=True,
)
def get_required_status_checks(call: Call) -> Reply:
    """Return the checks that classic protection requires; 404 where there is none, and to non-admins."""
    repo, branch = call.repo, call.params["branch"]
    _head(call, repo)
    checks = repo.required_checks.get(branch)
    if checks is None:
        raise Refused(404, "Branch not protected")
    url = f"{shapes.repo_url(call, repo)}/branches/{branch}/protection/required_status_checks"
    return Reply(
        200,
        {
            "url": url,
            "strict": False,
            "contexts": checks,
            "contexts_url": f"{url}/contexts",
            "checks": [{"context": name, "app_id": None} for name in checks],
        },
    )


@routes.add("GET", REPOSITORY + "/rules/branches/{branch}", permission="metadata:read")
def get_branch_rules(call: Call) -> Reply:
    """Return the rules of all rulesets that hold for a branch; also for one that does not exist yet."""
    rules = call.repo.rules.get(call.params["branch"], [])
    return call.page(rules, lambda rule: rule)


@routes.add("GET", REPOSITORY + "/commits", permission="contents:read")
def list_commits(call: Call) -> Reply:
    """List commits of a branch or from a sha, newest first; ``path``, ``since`` and ``until`` narrow them."""
    repo, query = call.repo, call.request.query
    start = query.get("sha", repo.default_branch)
    made = repo.refs.get(start) or (start if start in repo.objects else None)
    found = repo.commit(made) if made else None
    rows = ancestors(repo, found) if found else [one for one in repo.commits if one.branch == start]
    if not rows:
        first = next((index for index, one in enumerate(repo.commits) if one.sha == start), None)
        if first is None:
            raise Refused(404, "Not Found")
        rows = [one for one in repo.commits[first:] if one.branch == repo.commits[first].branch]
    rows = [
        one
        for one in rows
        if (not query.get("since") or (shapes.when(one.at) or "") >= query["since"])
        and (not query.get("until") or (shapes.when(one.at) or "") <= query["until"])
        and (not query.get("path") or any(name.startswith(query["path"]) for name in one.files))
    ]
    return call.page(rows, lambda one: shapes.commit(call, repo, one))


@routes.add("GET", REPOSITORY + "/commits/{ref}", permission="contents:read")
def get_commit(call: Call) -> Reply:
    """Return the commit that a sha (seven digits or more), a branch or HEAD names."""
    repo, ref = call.repo, call.params["ref"]
    found = repo.head(repo.default_branch if ref == "HEAD" else ref)
    if found is None and len(ref) >= 7:
        known = (*repo.commits, *repo.objects.values())
        found = next((one for one in known if one.sha.startswith(ref)), None)
    if found is None:
        raise Refused(422, f"No commit found for SHA: {ref}")
    return Reply(200, shapes.commit(call, repo, found, files=True))


@routes.add("GET", REPOSITORY + "/commits/{sha}/pulls", permission="pull_requests:read")
def list_pulls_of_commit(call: Call) -> Reply:
    """List the pull requests that hold a commit."""
    repo = call.repo
    rows = [one for one in repo.pulls.values() if one.sha == call.params["sha"]]
    return call.page(rows, lambda one: shapes.pull(call, repo, one))


@routes.add("GET", REPOSITORY + "/pulls/{number}/files", permission="pull_requests:read")
def list_pull_files(call: Call) -> Reply:
    """List the files that a pull request changes: those of the commits on its branch."""
    repo = call.repo
    found = repo.pulls.get(call.number("number"))
    if found is None:
        raise Refused(404, "Not Found")
    known = (*repo.commits, *repo.objects.values())
    commits = [one for one in known if one.branch == found.head or one.sha == found.sha]
    changed = {path: one for one in reversed(commits) for path in one.files}
    return call.page(sorted(changed), lambda path: shapes.changed_file(call, repo, changed[path], path))


@routes.add("GET", REPOSITORY + "/pulls", permission="pull_requests:read")
def list_pulls(call: Call) -> Reply:
    """List pull requests: ``state`` (open by default), ``head`` (owner:branch), ``base``; newest first."""
    repo, query = call.repo, call.request.query
    state = query.get("state", "open")
    rows = [
        one
        for one in sorted(repo.pulls.values(), key=lambda one: -one.number)
        if state in ("all", one.state)
        and query.get("head", f"{repo.owner}:{one.head}") == f"{repo.owner}:{one.head}"
        and query.get("base", one.base) == one.base
    ]
    return call.page(rows, lambda one: shapes.pull(call, repo, one))


@routes.add("GET", REPOSITORY + "/contents", permission="contents:read")
@routes.add("GET", REPOSITORY + "/contents/{path...}", permission="contents:read")
def get_content(call: Call) -> Reply:
    """Return a file (base64, or raw if the Accept header asks), or the listing of a folder."""
    repo, path = call.repo, call.params.get("path", "").strip("/")
    text = repo.files.get(path)
    if text is not None:
        if "raw" in call.request.headers.get("accept", ""):
            return Reply(200, Bytes(text.encode()), content_type="application/vnd.github.raw; charset=utf-8")
        return Reply(200, _file(call, repo, path, text))
    prefix = f"{path}/" if path else ""
    names = sorted({name[len(prefix) :].split("/")[0] for name in repo.files if name.startswith(prefix)})
    if not names:
        raise Refused(404, "Not Found")
    entries = []
    for name in names:
        entry = _file(call, repo, prefix + name, repo.files.get(prefix + name, ""))
        for key in ("content", "encoding"):
            del entry[key]
        if prefix + name not in repo.files:
            entry.update(type="dir", size=0, download_url=None)
        entries.append(entry)
    return Reply(200, entries)


def _file(call: Call, repo: Repository, path: str, text: str) -> Json:
    ref = call.request.query.get("ref", repo.default_branch)
    url = f"{shapes.repo_url(call, repo)}/contents/{path}?ref={ref}"
    head = repo.head(repo.default_branch)
    there = tree_of(repo, head).get(path) if head else None
    blob = there[1] if there else sha_of(text)
    git = f"{shapes.repo_url(call, repo)}/git/blobs/{blob}"
    html = f"{call.site}/{repo.full_name}/blob/{ref}/{path}"
    return {
        "name": path.rsplit("/", 1)[-1],
        "path": path,
        "sha": blob,
        "size": len(text.encode()),
        "url": url,
        "html_url": html,
        "git_url": git,
        "download_url": f"{call.site}/{repo.full_name}/raw/{ref}/{path}",
        "type": "file",
        "content": base64.encodebytes(text.encode()).decode(),
        "encoding": "base64",
        "_links": {"self": url, "git": git, "html": html},
    }

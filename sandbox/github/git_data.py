"""Git's own objects: trees, commits and branches made by requests, and how two commits compare."""

from typing import Any

from sandbox.github import shapes
from sandbox.github.records import Commit, Repository, sha_of
from sandbox.github.routing import REPOSITORY, Call, invalid, routes
from sandbox.github.trees import Tree, ancestors, difference, tree_id, tree_named, tree_of
from sandbox.wire import Refused, Reply

GIT = REPOSITORY + "/git"
MODES = ("100644", "100755", "120000", "160000")
BRANCH = "refs/heads/"
MOST_COMPARED_FILES = 300
SHORTEST_SHA = 7


def _named(repo: Repository, name: str) -> Commit:
    found = repo.head(repo.default_branch if name == "HEAD" else name) or repo.commit(name)
    if found is None and len(name) >= SHORTEST_SHA:
        known = (*repo.commits, *repo.objects.values())
        found = next((one for one in known if one.sha.startswith(name)), None)
    if found is None:
        raise Refused(404, "Not Found")
    return found


@routes.add("GET", REPOSITORY + "/compare/{basehead}", permission="contents:read")
def compare_commits(call: Call) -> Reply:
    """Compare ``base...head``: pages of commits, oldest first; all files on the first page."""
    repo = call.repo
    base_name, dots, head_name = call.params["basehead"].partition("...")
    if not dots:
        raise Refused(404, "Not Found")
    base, head = _named(repo, base_name), _named(repo, head_name)
    behind, ahead = ancestors(repo, base), ancestors(repo, head)
    known = {one.sha for one in behind}
    merge_base = next((one for one in ahead if one.sha in known), None)
    if merge_base is None:
        raise Refused(404, f"No common ancestor between {base_name} and {head_name}.")
    only_head = ahead[: ahead.index(merge_base)]
    only_base = behind[: [one.sha for one in behind].index(merge_base.sha)]
    page = call.page(list(reversed(only_head)), lambda one: shapes.commit(call, repo, one))
    changed = difference(tree_of(repo, merge_base), tree_of(repo, head))
    first = call.request.query.get("page", "1") == "1"
    body = {
        **shapes.comparison(call, repo, base, head, merge_base),
        "ahead_by": len(only_head),
        "behind_by": len(only_base),
        "total_commits": len(only_head),
        "commits": page.body,
        "files": [
            shapes.file_entry(call, repo, head, path, how, _blob(repo, merge_base, head, path))
            for path, how in list(changed.items())[: MOST_COMPARED_FILES if first else 0]
        ],
    }
    return Reply(200, body, page.headers)


def _blob(repo: Repository, old: Commit, new: Commit, path: str) -> str:
    found = tree_of(repo, new).get(path) or tree_of(repo, old)[path]
    return found[1]


@routes.add("GET", GIT + "/ref/{ref...}", permission="contents:read")
def get_ref(call: Call) -> Reply:
    """Return a branch as git names it: ``heads/main``."""
    repo, ref = call.repo, call.params["ref"]
    head = repo.head(ref.removeprefix("heads/")) if ref.startswith("heads/") else None
    if head is None:
        raise Refused(404, "Not Found")
    return Reply(200, shapes.ref(call, repo, f"refs/{ref}", head))


@routes.add("POST", GIT + "/refs", permission="contents:write", role="write")
def create_ref(call: Call) -> Reply:
    """Make a branch at a commit that there is."""
    repo, data = call.repo, call.data()
    name, sha = data.get("ref"), data.get("sha")
    if not isinstance(name, str) or not name.startswith(BRANCH) or not name.removeprefix(BRANCH):
        raise Refused(422, "Reference name must start with 'refs/' and contain at least two slashes.")
    commit = repo.commit(str(sha))
    if commit is None:
        raise Refused(422, "Object does not exist")
    branch = name.removeprefix(BRANCH)
    if repo.head(branch) is not None:
        raise Refused(422, "Reference already exists")
    repo.refs[branch] = commit.sha
    body = shapes.ref(call, repo, name, commit)
    return call.created(body, location=body["url"])


@routes.add("DELETE", GIT + "/refs/{ref...}", permission="contents:write", role="write")
def delete_ref(call: Call) -> Reply:
    """Delete a branch; one that pull requests come from closes them."""
    repo, ref = call.repo, call.params["ref"]
    branch = ref.removeprefix("heads/")
    if not ref.startswith("heads/") or repo.head(branch) is None:
        raise Refused(422, "Reference does not exist")
    repo.refs[branch] = None
    for pull in repo.pulls.values():
        if pull.head == branch and pull.state == "open":
            pull.state, pull.closed_at = "closed", call.now
    return call.created(None, status=204)


@routes.add("GET", GIT + "/commits/{sha}", permission="contents:read")
def get_git_commit(call: Call) -> Reply:
    """Return a commit as git has it, on a branch or not."""
    commit = call.repo.commit(call.params["sha"])
    if commit is None:
        raise Refused(404, "Not Found")
    return Reply(200, shapes.git_commit(call, call.repo, commit))


@routes.add("POST", GIT + "/commits", permission="contents:write", role="write")
def create_git_commit(call: Call) -> Reply:
    """Make a commit that no branch leads to yet."""
    repo, data = call.repo, call.data()
    message, parents = data.get("message"), data.get("parents") or []
    if not isinstance(message, str):
        raise Refused(422, 'Invalid request.\n\n"message" wasn\'t supplied.')
    tree = repo.trees.get(str(data.get("tree"))) or tree_named(repo, str(data.get("tree")))
    if tree is None:
        raise Refused(422, "Tree SHA does not exist")
    before = [repo.commit(str(sha)) for sha in parents]
    if None in before:
        raise Refused(422, "Parent SHA does not exist or is not a commit object")
    old = tree_of(repo, before[0]) if before and before[0] else {}
    changed = difference(old, tree)
    commit = Commit(
        sha=sha_of(f"{message} {data['tree']} {parents} {call.now.isoformat()} {len(repo.objects)}"),
        message=message,
        author=call.login,
        at=call.now,
        branch="",
        files=list(changed),
        parent=str(parents[0]) if parents else None,
        how={path: how for path, how in changed.items() if how != "modified"},
        merged=str(parents[1]) if len(parents) > 1 else None,
        tree=dict(tree),
        named_tree=str(data["tree"]),
    )
    repo.objects[commit.sha] = commit
    body = shapes.git_commit(call, repo, commit)
    return call.created(body, location=body["url"])


@routes.add("GET", GIT + "/trees/{tree_sha}", permission="contents:read")
def get_tree(call: Call) -> Reply:
    """Return a tree with all that lies below it; ``recursive`` is what callers here use."""
    repo, name = call.repo, call.params["tree_sha"]
    tree = tree_named(repo, name)
    if tree is None:
        raise Refused(404, "Not Found")
    if not call.request.query.get("recursive"):
        tree = {path: entry for path, entry in tree.items() if "/" not in path}
    return Reply(200, shapes.tree(call, repo, name, tree))


@routes.add("POST", GIT + "/trees", permission="contents:write", role="write")
def create_tree(call: Call) -> Reply:
    """Make a tree: that of ``base_tree`` with entries set, or removed where their ``sha`` is null."""
    repo, data = call.repo, call.data()
    entries = data.get("tree")
    if not isinstance(entries, list) or not entries:
        raise Refused(422, "Invalid tree info")
    tree: Tree = {}
    if data.get("base_tree"):
        base = tree_named(repo, str(data["base_tree"]))
        if base is None:
            raise Refused(404, "base_tree is not a valid tree")
        tree = dict(base)
    for entry in entries:
        _put(repo, tree, entry)
    name = tree_id(tree)
    repo.trees[name] = tree
    body = shapes.tree(call, repo, name, tree)
    return call.created(body, location=body["url"])


def _put(repo: Repository, tree: Tree, entry: Any) -> None:
    path, mode, sha = entry.get("path"), entry.get("mode"), entry.get("sha")
    if not isinstance(path, str) or not path or path.startswith("/"):
        raise Refused(422, "tree.path contains a malformed path component")
    if mode not in MODES:
        raise Refused(422, "Must supply a valid tree.mode")
    if sha is None:
        if path not in tree:
            raise Refused(422, "GitRPC::BadObjectState")
        del tree[path]
        return
    if not any(sha == blob for known in _trees(repo) for _, blob in known.values()):
        raise invalid("Tree", "sha", "custom", f"tree.sha {sha} is not a valid blob")
    tree[path] = (mode, str(sha))


def _trees(repo: Repository) -> list[Tree]:
    return [*repo.trees.values(), *(tree_of(repo, one) for one in repo.commits)]

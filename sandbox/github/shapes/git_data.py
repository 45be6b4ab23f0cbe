"""Comparisons, refs, trees, commits as git has them."""

from sandbox.github.records import Commit, Repository, node_id
from sandbox.github.routing import Call
from sandbox.github.shapes.common import repo_url
from sandbox.github.shapes.repositories import commit
from sandbox.github.trees import Tree
from sandbox.wire import Json

TYPES = {"160000": "commit"}


def comparison(call: Call, repo: Repository, base: Commit, head: Commit, merge_base: Commit) -> Json:
    """Return a comparison without its counts, commits and files."""
    pair = f"{base.sha}...{head.sha}"
    html = f"{call.site}/{repo.full_name}/compare/{pair}"
    ahead, behind = merge_base.sha == base.sha, merge_base.sha == head.sha
    status = "identical" if ahead and behind else "ahead" if ahead else "behind" if behind else "diverged"
    return {
        "url": f"{repo_url(call, repo)}/compare/{pair}",
        "html_url": html,
        "permalink_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "base_commit": commit(call, repo, base),
        "merge_base_commit": commit(call, repo, merge_base),
        "status": status,
    }


def ref(call: Call, repo: Repository, name: str, one: Commit) -> Json:
    """Return a ref: ``refs/heads/main``."""
    return {
        "ref": name,
        "node_id": node_id("Ref", int(one.sha[:8], 16)),
        "url": f"{repo_url(call, repo)}/git/{name}",
        "object": {"type": "commit", "sha": one.sha, "url": f"{repo_url(call, repo)}/git/commits/{one.sha}"},
    }


def git_commit(call: Call, repo: Repository, one: Commit) -> Json:
    """Return a commit without what GitHub adds to it."""
    whole = commit(call, repo, one)
    url = f"{repo_url(call, repo)}/git/commits/{one.sha}"
    return {
        **{key: whole["commit"][key] for key in ("author", "committer", "message", "tree", "verification")},
        **{key: whole[key] for key in ("sha", "node_id", "html_url", "parents")},
        "url": url,
    }


def tree(call: Call, repo: Repository, name: str, one: Tree) -> Json:
    """Return a tree."""
    url = f"{repo_url(call, repo)}/git"

    def entry(path: str, mode: str, blob: str) -> Json:
        kind = TYPES.get(mode, "blob")
        return {
            "path": path,
            "mode": mode,
            "type": kind,
            "sha": blob,
            "size": 1,
            "url": f"{url}/{kind}s/{blob}",
        }

    return {
        "sha": name,
        "url": f"{url}/trees/{name}",
        "tree": [entry(path, *one[path]) for path in sorted(one)],
        "truncated": False,
    }

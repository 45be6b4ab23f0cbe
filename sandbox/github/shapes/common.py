"""What other shapes are made of: times, addresses, people, apps."""

from datetime import datetime

from sandbox.github.records import Repository, node_id, sha_of
from sandbox.github.routing import Call
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


def association(call: Call, repo: Repository, login: str) -> str:
    """Return how an author relates to a repository."""
    return ASSOCIATIONS.get(call.role_in(repo, login), "MEMBER")


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

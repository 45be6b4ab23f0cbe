"""The program: helm's arguments and words in front of the releases that the Kubernetes stand-in keeps.

It runs as a file of its own and imports nothing of the sandbox, so that it starts as quickly as helm does.
"""

import argparse
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

Json = dict[str, Any]
PATH = "/helm/"
"""Below it the Kubernetes stand-in answers: ``POST /helm/history``."""
UNREACHABLE = "Kubernetes cluster unreachable"


class Failed(Exception):
    """What helm prints after ``Error:``."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments ask for; returns helm's exit code."""
    options = _options(arguments)
    try:
        answer = _ask(options.verb, {key: value for key, value in vars(options).items() if key != "verb"})
    except Failed as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if options.verb == "history":
        print(json.dumps(answer["history"]))
    elif options.verb == "manifest":
        print(answer["manifest"])
    elif answer.get("hangs"):
        signal.pause()  # until somebody ends it, as helm would be in the middle of its work
    else:
        print("Rollback was a success! Happy Helming!")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="helm")
    verbs = parser.add_subparsers(required=True)
    history = _verb(verbs, "history", "history")
    history.add_argument("--output", "-o", choices=["json"], required=True)
    history.add_argument("--max", type=int, default=256)
    parts = verbs.add_parser("get").add_subparsers(required=True)
    manifest = _verb(parts, "manifest", "manifest")
    manifest.add_argument("--revision", type=int, default=0)
    rollback = _verb(verbs, "rollback", "rollback")
    rollback.add_argument("revision", type=int, nargs="?", default=0)
    rollback.add_argument("--history-max", type=int, default=10)
    rollback.add_argument("--timeout", default="5m0s")
    return parser.parse_args(arguments)


def _verb(verbs: Any, name: str, verb: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name)
    parser.set_defaults(verb=verb)
    parser.add_argument("release")
    parser.add_argument("--namespace", "-n", default="default")
    return parser


def _ask(verb: str, body: Json) -> Json:
    """Ask the Kubernetes stand-in.

    Raises:
        Failed: It refused, or does not answer.
    """
    server, token = _cluster()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    # Both come from KUBECONFIG, which is the sandbox's own.
    request = urllib.request.Request(  # noqa: S310
        server + PATH + verb, data=json.dumps(body).encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(request) as reply:  # noqa: S310
            answer: Json = json.load(reply)
            return answer
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise Failed(
                f"{UNREACHABLE}: the server has asked for the client to provide credentials"
            ) from error
        raise Failed(_message(error)) from error
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise Failed(f'{UNREACHABLE}: Get "{server}/version": {str(reason).lower()}') from error
    except (OSError, ValueError) as error:
        raise Failed(f'Get "{server}": {str(error).lower() or "unexpected EOF"}') from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return f"an error on the server has prevented the request from succeeding ({error.code})"


def _cluster() -> tuple[str, str]:
    """Return the address and the token that KUBECONFIG names.

    Raises:
        Failed: It names none.
    """
    try:
        text = Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8")
        config = _parsed(text)
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        return str(cluster["server"]).rstrip("/"), str(user.get("token", ""))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise Failed(
            f'{UNREACHABLE}: Get "http://localhost:8080/version": dial tcp 127.0.0.1:8080: connect: '
            "connection refused"
        ) from error


def _parsed(text: str) -> Any:
    if text.lstrip().startswith("{"):
        return json.loads(text)
    import yaml

    return yaml.safe_load(text)


def _named(entries: list[Json], name: str) -> Json:
    return next((one for one in entries if one["name"] == name), {})


if __name__ == "__main__":
    sys.exit(main())

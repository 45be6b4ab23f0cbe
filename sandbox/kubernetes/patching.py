"""JSON patch and JSON merge patch, as far as they are used on objects."""

import copy
from typing import Any

from sandbox.wire import Json, Refused


def apply(body: Json, patch: Any, content_type: str) -> Json:
    """Return ``body`` with a patch applied.

    Raises:
        Refused: 400 for what is no patch, 415 for another kind of patch, 422 for one that does not fit.
    """
    media = content_type.partition(";")[0].strip()
    if media == "application/json-patch+json" and isinstance(patch, list):
        return _operations(body, patch)
    if media == "application/merge-patch+json" and isinstance(patch, dict):
        merged = _merged(body, patch)
        assert isinstance(merged, dict)  # noqa: S101 - an object merged into an object
        return merged
    if media in ("application/json-patch+json", "application/merge-patch+json"):
        raise Refused(400, "error decoding patch", extra={"reason": "BadRequest"})
    text = f"the body of the request was in an unknown format - accepted media types include: {media} is none here"
    raise Refused(415, text, extra={"reason": "UnsupportedMediaType"})


def _operations(body: Json, patch: list[Any]) -> Json:
    result = copy.deepcopy(body)
    try:
        for one in patch:
            _operate(result, one["op"], one["path"], one.get("value"))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        text = "the server rejected our request due to an error in our request"
        raise Refused(422, text, extra={"reason": "Invalid", "details": {}}) from error
    return result


def _operate(body: Json, operation: str, path: str, value: Any) -> None:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    parent: Any = body
    for part in parts[:-1]:
        parent = parent[int(part)] if isinstance(parent, list) else parent[part]
    key: Any = parts[-1]
    if isinstance(parent, list):
        key = len(parent) if key == "-" else int(key)
    if operation == "add" and isinstance(parent, list):
        parent.insert(key, value)
    elif operation == "add":
        parent[key] = value
    elif operation == "replace":
        parent[key]  # what is not there cannot be replaced
        parent[key] = value
    elif operation == "remove":
        del parent[key]
    elif operation != "test" or parent[key] != value:
        raise ValueError(f"{operation} {path}")


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = copy.deepcopy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result

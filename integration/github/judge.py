"""Holds responses against GitHub's OpenAPI description: status, schema, closed key sets, enumerations.

The description leaves its objects open, so that a misspelt key would pass; here every key must be one that it
names. It also leaves out some values and some statuses that GitHub documents elsewhere; those are listed below.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

ROOT = "urn:github"
# Documented for every operation in prose only: conditional requests (304), troubleshooting (400, 401, 403, 404,
# 422) and rate limits (403, 429).
EVERYWHERE = {"304", "400", "401", "403", "404", "422", "429"}
# Seen from GitHub, though its description does not say so: logs that have expired, and the status in a 422 body.
EXPIRED = {"410"}
EXTRA_KEYS = {"validation-error": {"status"}}
# Documented in prose (media types): the content itself.
RAW = "application/vnd.github.raw"
RUN_STATUSES = {"queued", "in_progress", "completed", "requested", "waiting", "pending"}
RUN_CONCLUSIONS = {
    "success",
    "failure",
    "neutral",
    "cancelled",
    "skipped",
    "timed_out",
    "action_required",
    "startup_failure",
    "stale",
    None,
}


class Description:
    """GitHub's description of its REST API.

    Args:
        file: ``api.github.com.json`` of the npm package @octokit/openapi.
    """

    def __init__(self, file: Path) -> None:
        self._document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"), object_hook=_mended)
        schemas = self._document["components"]["schemas"]
        for name, keys in EXTRA_KEYS.items():
            schemas[name]["properties"].update({key: {"type": "string"} for key in keys})
        resource = Resource.from_contents(self._document, default_specification=DRAFT4)
        self._registry: Registry[Any] = Registry().with_resource(ROOT, resource)
        self._templates = [
            (
                template,
                re.compile(
                    re.sub(r"\{[^}]+\}", "[^/]+", template.replace("{path}", "{}").replace("{}", ".+"))
                ),
            )
            for template in self._document["paths"]
        ]

    @lru_cache(maxsize=4096)  # noqa: B019 - one description lives as long as the test run
    def template(self, path: str) -> str | None:
        """Return the path template that a path belongs to; the one with the fewest parameters, if several do."""
        fits = [template for template, pattern in self._templates if pattern.fullmatch(path)]
        return min(fits, key=lambda one: one.count("{"), default=None)

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """Return template and operation of a request, None when GitHub has none."""
        template = self.template(path)
        found = self._document["paths"].get(template, {}).get(method.lower()) if template else None
        return (str(template), found) if found else None

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Follow references to the schema itself."""
        while "$ref" in schema:
            target: Any = self._document
            for part in schema["$ref"].split("#/", 1)[1].split("/"):
                target = target[unquote(part).replace("~1", "/").replace("~0", "~")]
            schema = target
        return schema

    def problems(self, exchange: dict[str, Any]) -> Iterator[str]:
        """Yield what is wrong with one recorded exchange."""
        path = exchange["path"].split("?")[0]
        found = self.operation(exchange["method"], path)
        if found is None:
            if exchange["status"] != 404:
                yield f"{exchange['method']} {path}: GitHub has no such operation, yet {exchange['status']} came"
            return
        template, operation = found
        status = str(exchange["status"])
        where = f"{exchange['method']} {template} {status}"
        responses = operation["responses"]
        extra = EXPIRED if template.endswith("/logs") else set()
        if status not in responses and status not in EVERYWHERE | extra:
            yield f"{where}: status not documented; documented are {', '.join(responses)}"
            return
        for problem in self._body_problems(responses.get(status), exchange):
            yield f"{where}: {problem}"

    def _body_problems(self, response: dict[str, Any] | None, exchange: dict[str, Any]) -> Iterator[str]:
        schema = self._schema(response, exchange)
        if schema is None:
            if exchange["body"] and exchange["status"] < 300 and RAW not in exchange["content_type"]:
                yield "a body came where none is documented"
            return
        try:
            body = json.loads(exchange["body"])
        except ValueError as error:
            yield f"the body is not JSON: {error}"
            return
        absolute = json.loads(json.dumps(schema).replace('"#/components', f'"{ROOT}#/components'))
        validator = OAS30Validator(absolute, registry=self._registry, format_checker=oas30_format_checker)
        for found in validator.iter_errors(body):
            yield f"{found.json_path}: {found.message[:200]}"
        yield from self._unknown_keys(body, [schema], "$")
        yield from _run_values(body)

    def _schema(self, response: dict[str, Any] | None, exchange: dict[str, Any]) -> dict[str, Any] | None:
        status = exchange["status"]
        if response is None:  # an error that is documented in prose
            return {"$ref": f"#/components/schemas/{_error_schema(exchange)}"} if status >= 400 else None
        content = self.resolve(response).get("content", {})
        if status >= 400:
            return {"$ref": f"#/components/schemas/{_error_schema(exchange)}"}
        if "application/json" not in exchange["content_type"]:
            return None
        found: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return found

    def _unknown_keys(self, value: Any, schemas: list[dict[str, Any]], where: str) -> Iterator[str]:
        """Yield keys that no alternative of the schema names."""
        flat = list(self._alternatives(schemas))
        if isinstance(value, list):
            items = [schema["items"] for schema in flat if "items" in schema]
            for index, one in enumerate(value):
                yield from self._unknown_keys(one, items, f"{where}[{index}]")
        elif isinstance(value, dict):
            named = [schema for schema in flat if "properties" in schema]
            if not named or any(schema.get("additionalProperties") not in (None, False) for schema in flat):
                return
            for key, one in value.items():
                below = [schema["properties"][key] for schema in named if key in schema["properties"]]
                if below:
                    yield from self._unknown_keys(one, below, f"{where}.{key}")
                else:
                    yield f"{where}.{key}: GitHub names no such key"

    def _alternatives(self, schemas: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for schema in schemas:
            one = self.resolve(schema)
            yield one
            for combination in ("allOf", "anyOf", "oneOf"):
                yield from self._alternatives(one.get(combination, []))


def _mended(node: dict[str, Any]) -> dict[str, Any]:
    """Let pass what is meant: enumerations called nullable do not list null; discriminators do not fit arrays."""
    if node.get("nullable") is True and isinstance(node.get("enum"), list) and None not in node["enum"]:
        node["enum"].append(None)
    if "oneOf" in node:
        node.pop("discriminator", None)
    return node


def _error_schema(exchange: dict[str, Any]) -> str:
    return "validation-error" if '"errors"' in exchange["body"] else "basic-error"


def _run_values(body: Any) -> Iterator[str]:
    """The description says only "string" for what becomes of a run; GitHub's pages list the values."""
    runs = body.get("workflow_runs", [body]) if isinstance(body, dict) else []
    for run in runs:
        if "run_attempt" in run and "workflow_id" in run:
            if run["status"] not in RUN_STATUSES or run["conclusion"] not in RUN_CONCLUSIONS:
                yield f"run {run['id']} is {run['status']}, {run['conclusion']}: no such status or conclusion"
            if (run["conclusion"] is None) == (run["status"] == "completed"):
                yield f"run {run['id']} is {run['status']} with conclusion {run['conclusion']}"

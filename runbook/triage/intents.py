"""What a step is about, by its name and command: where a line could mean two things, this says which.

Not signatures: they are tried on the names of the few failing steps, never on the log.
"""

import re

from runbook.triage.classes import FailureClass

_INTENTS = (
    (
        FailureClass.SECURITY_SCAN,
        r"\b(?:trivy|\w*audit|snyk|grype|bandit|semgrep|codeql|govulncheck|gitleaks|cargo.deny|deny|osv.scanner"
        r"|dependency.(?:review|check)|(?:security|vulnerability|image|secret|code) scan\w*|sarif|brakeman|gosec"
        r"|checkov|tfsec|trufflehog|docker scout|safety check|kics|vulnerabilit\w+)\b",
    ),
    (
        FailureClass.LINT_OR_FORMAT,
        r"\b(?:\w*lint\w*|ruff|flake8|mypy|pyright|pylint|black|isort|eslint|prettier|clippy|(?:go)?fmt|format(?:ting)?"
        r"|type.?check\w*|pre-commit|checkstyle|spotless\w*|rubocop|golangci\S*|shellcheck|hadolint|static.?analysis"
        r"|style|vet|detekt|biome|codespell|typos|phpcs|phpstan|psalm|php-cs-fixer|(?:flutter|dart) analyze"
        r"|clang-tidy|clang-format|standard(?:rb)?|xo|credo|dialyzer|swiftformat|kubeconform|luacheck|sqlfluff|dprint|\w*fmt|reuse|lychee|reviewdog"
        r"|quality.?gate|knip|taplo|pint|staticcheck|pydocstyle|vulture|interrogate|\w*pyright|machete)\b",
    ),
    (
        FailureClass.TEST_FAILURE,
        r"\b(?:py\.?test|unittest|tox|nox|jest|vitest|mocha|playwright test|cypress|ctest|nextest|phpunit|rspec"
        r"|surefire|tests?|testing|smoke|e2e|spec|specs|coverage|integration)\b",
    ),
    (
        FailureClass.DEPENDENCY_RESOLUTION,
        r"(?:\bpip3? install|\buv (?:sync|pip|lock)|\bpoetry (?:install|lock)|\bp?npm (?:ci|i|install)\b"
        r"|\byarn(?: install)?$|\bbundle install|\bcomposer install|\bgo mod\b|\bapt(?:-get)? |\bbrew install"
        r"|\binstall\w* (?:\w+ ){0,2}(?:dependencies|deps|requirements|packages)\b)",
    ),
    (
        FailureClass.BUILD_FAILURE,
        r"\b(?:build|builds|compile|assemble|tsc|make(?= *$| all| build| -)|package|bundle"
        r"|build-push-action|buildx|cargo check)\b",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _INTENTS)


def intents_of(step: str) -> frozenset[FailureClass]:
    """Return the classes of failure that a step with this name or command is there to find."""
    return frozenset(kind for kind, pattern in _COMPILED if pattern.search(step))

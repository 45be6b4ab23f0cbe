"""What every outbound text passes (R8): secrets are taken out, foreign text is made harmless where shown.

Pure functions, but for one registry of the values that this process was given as credentials: a value that
no pattern knows (a Vault password, say) is found because whoever loaded it registered it.
"""

import json
import logging
import re
import shlex
import threading
import urllib.parse
from collections.abc import Iterator

PLACEHOLDER = "***"
# Shorter values occur in ordinary words; hiding them would blank out text and tell where they are.
MINIMUM_SECRET_LENGTH = 6
# Somebody's log line or answer can be in a record's message; nobody reads so much of it.
MAX_RECORD_CHARACTERS = 65_536
# More than most secrets are long: what is left of one at a cut goes with it.
_CUT_MARGIN_CHARACTERS = 8_192

_registered: frozenset[str] = frozenset()
_registry_lock = threading.Lock()

# Each pattern hides the group named `secret`, or the whole match. A hostile text costs linear time: every repeat is
# over one character class that excludes what follows it, and either nothing need follow, or no second start can lie
# within what the repeat read in vain, or the repeat is bounded.
_SHAPES = tuple(
    re.compile(pattern)
    for pattern in (
        # GitHub: classic, OAuth, user-to-server, refresh; installation tokens are long and dotted since 2026.
        r"gh[pour]_[A-Za-z0-9]{16,}",
        r"ghs_[A-Za-z0-9._-]{36,}",
        r"github_pat_[A-Za-z0-9_]{20,}",
        # Slack tokens and incoming webhooks (Slack's and Discord's), whose address is the credential.
        r"xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}",
        r"https://hooks\.slack\.com/(?P<secret>[A-Za-z0-9/_-]{8,})",
        r"https://discord(?:app)?\.com/api/webhooks/(?P<secret>[A-Za-z0-9/_-]{8,})",
        # AWS key ids, and secret keys where they are named.
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        r"(?i:aws_secret_access_key|aws_session_token)[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<secret>[A-Za-z0-9/+=]{16,})",
        # Vault, Anthropic, OpenAI, Stripe, SendGrid, Docker Hub, npm, PyPI, Google, GitLab.
        r"\bhv[sbr]\.[A-Za-z0-9_.-]{16,}",
        r"\bsk-[A-Za-z0-9_-]{16,}",
        r"\b[rs]k_live_[A-Za-z0-9]{16,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bdckr_pat_[A-Za-z0-9_-]{16,}",
        r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}|\bglpat-[A-Za-z0-9_-]{16,}|\bAIza[A-Za-z0-9_-]{35}",
        # JSON web tokens, with all their parts: an encrypted one has five. "-eyJ-eyJ" has many starts in one run of
        # letters: each run is read once, and only one that two more follow is looked through.
        r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]{11,}\.[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9_-]*?"
        r"(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9._-]*)",
        # A private key, also one whose end was cut off.
        r"(?s:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z))",
        # Headers, and what curl and URLs carry.
        r"(?i:\b(?:bearer|basic)\s{1,3})(?P<secret>[A-Za-z0-9._~+/=-]{8,})",
        r"(?i:\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?token\s{1,3})(?P<secret>[^\s\"',]{4,})",
        r"(?i:\b(?:x-vault-token|x-api-key|private-token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)(?P<secret>[^\s\"',]{4,})",
        r"://[^\s/:@]{0,256}:(?P<secret>[^\s/]{1,1024})@",
        r"[?&](?i:sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|token"
        r"|access_token|client_secret|api_key)=(?P<secret>[^\s&#\"'<>]{4,})",
        # Assignments as shells, env files and JSON write them; prose ("token: not found") is left readable.
        r"(?i:(?:password|passwd|secret|token|api_?key|accountkey|accesskey)=)[\"']?(?P<secret>[^\s\"'&;,*]{6,})",
        r"(?i:\"(?:password|passwd|secret|token|access_token|client_secret|api_?key)\"\s{0,3}:\s{0,3})"
        r"\"(?P<secret>[^\"\n]{4,})\"",
    )
)


def register_secret(value: str) -> None:
    """Make ``scrub`` hide ``value`` from now on, in this process, also URL-encoded and as JSON writes it.

    Values under six characters are not hidden. A value of several lines (a key file) is also hidden line
    by line, because logs are cut into lines.
    """
    forms = {value, value.strip(), urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1]}
    forms.update(line.strip() for line in value.splitlines() if not line.startswith("-----"))
    usable = {form for form in forms if len(form) >= MINIMUM_SECRET_LENGTH and form.strip("*")}
    global _registered  # noqa: PLW0603 - replaced as a whole, so that readers need no lock
    with _registry_lock:
        _registered |= usable


def scrub(text: str) -> str:
    """Return ``text`` with every registered value and every known shape of a credential replaced by ``***``.

    All secrets are looked for in the original, and overlapping finds are hidden together, so that taking out
    one never leaves the rest of another.
    """
    spans = sorted({*_registered_spans(text), *_shape_spans(text)})
    if not spans:
        return text
    parts: list[str] = []
    position = 0
    hidden_until = -1
    for start, end in spans:
        if start > hidden_until:
            parts += (text[position:start], PLACEHOLDER)
        hidden_until = max(hidden_until, end)
        position = hidden_until
    return "".join((*parts, text[position:]))


def _registered_spans(text: str) -> Iterator[tuple[int, int]]:
    for value in _registered:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + 1)


def _shape_spans(text: str) -> Iterator[tuple[int, int]]:
    for shape in _SHAPES:
        group = "secret" if "secret" in shape.groupindex else 0
        for match in shape.finditer(text):
            yield match.span(group)


# --- Foreign text, where people see it ---

# Escape sequences whole (so that no "[31m" is left), then what no terminal or reader should act upon: control
# codes but for tab and newline, bidirectional and invisible characters, lone surrogates.
_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_BREAKS = re.compile(r"\r\n|[\u2028\u2029\x85\x0b\x0c]")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)

# Breaks a word for GitHub without being seen: a backslash or an entity would not stop a mention, because
# GitHub looks for mentions after the Markdown has become text.
_BREAK = "\u200b"
# An underscore between letters or digits opens and closes nothing (CommonMark, "Emphasis"), and a number begins a
# list only before a space or the line's end: names and sizes stay readable where nobody renders them.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLOCK_START = re.compile(r"(?m)^([-+=/!.?])")
_ORDERED_LIST = re.compile(r"(?m)^(\d{1,9})([.)])(?!\S)")
_REFERENCES = re.compile(r"(?i)[@#]|www(?=\.)|\bGH(?=-\d)|(?<=:)//|<(?=!--)")
# A path (/usr/bin/ld) is none: its first word goes on with a slash or a dot.
_COMMAND_LINE = re.compile(r"(?m)^([^\S\n]*)(/[A-Za-z][\w-]*)(?![\w/.-])")


def neutralise_terminal(text: str) -> str:
    """Return ``text`` so that a terminal only prints it: no control code, no hidden or reordered character.

    Line breaks of every kind become ``\\n``; a lone carriage return, which would overwrite the line, a space.
    """
    plain = _LINE_BREAKS.sub("\n", _ESCAPE_SEQUENCES.sub("", text))
    return _UNSEEN.sub("", plain.replace("\r", " "))


def neutralise_markdown(text: str) -> str:
    """Return ``text`` as Markdown that GitHub shows as these plain words.

    No mention, issue reference, link, image, HTML, heading, list, quote, code or slash command takes effect;
    line breaks stay. A full commit SHA may still be shown as a link into the same repository.
    """
    lines = (line.strip(" \t") for line in neutralise_terminal(text).split("\n"))
    escaped = _MARKDOWN.sub(lambda match: "\\" + match.group(), "\n".join(lines))
    escaped = _BLOCK_START.sub(r"\\\1", escaped)
    escaped = _ORDERED_LIST.sub(r"\1\\\2", escaped)
    return _REFERENCES.sub(_broken_reference, escaped)


def neutralise_references(text: str) -> str:
    """Return ``text`` for a title or a commit's message, which are no Markdown, but read for what they refer to.

    No mention, issue reference or link takes effect; nothing else changes but what no terminal should act upon.
    """

    def broken(match: re.Match[str]) -> str:
        return f"/{_BREAK}/" if match.group() == "//" else match.group() + _BREAK

    return _REFERENCES.sub(broken, neutralise_terminal(text))


def _broken_reference(match: re.Match[str]) -> str:
    found = match.group()
    if found == "#":
        return "\\#" + _BREAK
    return f"/{_BREAK}/" if found == "//" else found + _BREAK


def markdown_code_block(text: str, *, language: str = "") -> str:
    """Return ``text`` as a fenced code block that nothing inside it can end.

    Other programs read slash commands and HTML comments from the raw text even inside a fence, so those are
    broken by an invisible character; all else stays as it is.

    Args:
        text: What to show.
        language: The fence's language word, ours, for colouring: ``console``, ``diff``.
    """
    body = neutralise_terminal(text).rstrip("\n")
    body = _COMMAND_LINE.sub(rf"\1{_BREAK}\2", body).replace("<!--", f"<!{_BREAK}--")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def shell_quote(word: str) -> str:
    """Return ``word`` as one word of a POSIX or bash command line that a person may copy.

    A word with control or invisible characters is written as ``$'...'`` (bash, zsh, ksh), so that what is
    seen is what runs. A word that starts with ``-`` stays an option to the program: write ``--`` before it.
    """
    if not (_UNSEEN.search(word) or _LINE_BREAKS.search(word) or re.search(r"[\t\r\n]", word)):
        return shlex.quote(word)
    encoded = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "\\'" else f"\\x{byte:02x}"
        for byte in word.encode("utf-8", "replace").replace(b"\x00", b"")
    )
    return f"$'{encoded}'"


# --- Log records ---


_FORMATTER = logging.Formatter()


def _scrub_record(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError) as error:
        # A caller's format string that does not fit its arguments must neither leak them nor end the run.
        message = f"{record.msg} (arguments left out: {type(error).__name__})"
    # Logs are read on terminals, and what a job or a cache is called is somebody else's choice.
    record.msg = _safe_to_log(message)
    record.args = ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = _safe_to_log(_FORMATTER.formatException(record.exc_info))
    # Handlers print exc_text where there is no exc_info; with it, some would format the exception anew.
    record.exc_info = None
    if record.stack_info:
        record.stack_info = _safe_to_log(record.stack_info)


def _safe_to_log(text: str) -> str:
    if len(text) <= MAX_RECORD_CHARACTERS:
        return scrub(neutralise_terminal(text))
    # A secret that the cut divides has no shape any more: the end of what was scrubbed goes too.
    kept = scrub(neutralise_terminal(text[:MAX_RECORD_CHARACTERS]))[:-_CUT_MARGIN_CHARACTERS]
    return f"{kept} [cut: {len(text)} characters in all]"


def install_log_scrubber() -> None:
    """Scrub every log record of this process, whichever logger makes it, and take control codes out of it.

    Installing twice changes nothing.

    A filter on a logger or handler would miss the loggers of libraries that bring handlers of their own, so
    records are scrubbed where they are made.
    """
    make_record = logging.getLogRecordFactory()
    if getattr(make_record, "scrubs", False):
        return

    def make_scrubbed_record(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        _scrub_record(record)
        return record

    make_scrubbed_record.scrubs = True  # type: ignore[attr-defined] # the mark that makes it idempotent
    logging.setLogRecordFactory(make_scrubbed_record)

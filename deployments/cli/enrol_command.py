"""``runbook enrol``: one-time codes for the approval page."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli import terminal
from runbook.errors import RunbookError, UsageError

if TYPE_CHECKING:
    from pydantic import SecretStr

app = typer.Typer()

ISSUER = "runbook"
TRIES = 3
# The alternate screen: what is shown there is gone when it is left, from the scroll-back too.
_ENTER_SCREEN, _LEAVE_SCREEN = "\x1b[?1049h\x1b[H\x1b[2J", "\x1b[?1049l"


@app.command("enrol")
def enrol(
    login: Annotated[str, typer.Argument(help="The approver's GitHub login.", metavar="LOGIN")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the person's seed out: their codes count no more.")
    ] = False,
) -> None:
    """Enrol an approver for the approval page, which is for the day GitHub is down.

    Shows a QR code once, for an authenticator app, and keeps the seed in RUNBOOK_APPROVER_SEEDS_FILE after a first
    code proved that the app has it.
    """
    from runbook import one_time_codes
    from runbook.scrub import install_log_scrubber, register_secret

    install_log_scrubber()
    _require_terminal()
    path = _require_file()
    if remove:
        one_time_codes.remove(path, login)
        terminal.say(f"{login} is enrolled no more; their codes do not count from now on.")
        _audit("approver.removed", login)
        return
    if one_time_codes.normal_login(login) is None:
        raise UsageError(f"{login!r} is not a GitHub login.", next_step="give the name as GitHub shows it.")
    if path.exists() and login in one_time_codes.read_seeds(path):
        raise one_time_codes.already_enrolled(login)
    seed = one_time_codes.new_seed()
    register_secret(seed.get_secret_value())
    _confirm(login, seed)
    one_time_codes.enrol(path, login, seed)
    terminal.say(f"{login} is enrolled. The seed is in {path}, which only its owner may read.")
    _audit("approver.enrolled", login)
    terminal.note(
        "They may decide what the policy names them an approver for; enrolment alone entitles nobody."
    )


def _audit(event: str, login: str) -> None:
    """Note in the ledger's audit who was enrolled or removed, by which account of this machine (R12)."""
    from deployments.cli.opening import opened_ledger
    from runbook.clock import SystemClock
    from runbook.engine import audit

    try:
        with opened_ledger() as ledger, ledger.write() as session:
            audit.append(
                session,
                now=SystemClock().now(),
                actor=f"uid:{os.getuid()}",
                event=event,
                subject=f"login:{login.casefold()}",
                body={"seeds": "the file that RUNBOOK_APPROVER_SEEDS_FILE names"},
            )
    except RunbookError as error:
        # The file decides whose codes count, and it is changed; a gap in the audit must at least be seen.
        terminal.print_error(error)
        terminal.note(f"The audit does not have it: {event} {login}.", style="bold")


def _require_terminal() -> None:
    if sys.stdin.isatty() and sys.stdout.isatty():
        return
    raise UsageError(
        "runbook enrol needs a terminal: it shows a secret, once, and asks for a code.",
        unchanged="Nobody was enrolled or removed.",
        next_step="run it in a terminal, with nothing piped in or out.",
    )


def _require_file() -> Path:
    from runbook.one_time_codes import SEEDS_VARIABLE, seeds_file

    path = seeds_file()
    if path is None:
        raise UsageError(
            f"{SEEDS_VARIABLE} is not set: nobody knows where seeds are kept.",
            unchanged="Nobody was enrolled or removed.",
            next_step="set it, here and for the gateway, to a file that only the gateway's user may read.",
        )
    return path


def _confirm(login: str, seed: "SecretStr") -> None:
    """Show the seed as a QR code until a first code proves that the person's app has it.

    Raises:
        UsageError: No code did.
    """
    import pyotp
    import segno

    from runbook.clock import SystemClock
    from runbook.one_time_codes import matching_step

    clock = SystemClock()
    uri = pyotp.TOTP(seed.get_secret_value()).provisioning_uri(name=login, issuer_name=ISSUER)
    # Written past the module that prints everything else, which would take the secret out.
    sys.stdout.write(_ENTER_SCREEN)
    try:
        segno.make(uri, error="l", micro=False).terminal(out=sys.stdout, compact=True)
        sys.stdout.write(
            f"Scan this with {terminal.one_line(login)}'s authenticator app. It is shown only now.\n"
        )
        for left in range(TRIES, 0, -1):
            code = typer.prompt("First code from the app (6 digits)", default="", show_default=False)
            if matching_step(seed, code, now=clock.now()) is not None:
                return
            terminal.note(f"That is not its code now; tries left: {left - 1}.")
    finally:
        sys.stdout.write(_LEAVE_SCREEN)
        sys.stdout.flush()
    raise UsageError(
        f"No code of {login}'s app was right.",
        unchanged="Nobody was enrolled, and that QR code is worthless now.",
        next_step="check the clocks of the phone and of this machine, then run it again.",
    )

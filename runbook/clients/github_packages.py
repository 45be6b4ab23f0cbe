"""Versions of images in GitHub's registry (RB-01)."""

from itertools import islice

from runbook.clients.github_calls import PAGE_SIZE, Calls, quoted
from runbook.clients.github_facts import parse
from runbook.clients.github_source_facts import container_version
from runbook.errors import Denied, NotFound
from runbook.source_facts import ContainerVersion

NEEDED = "give the product a classic token with the scope read:packages, or an App with the permission packages=read"


class PackageCalls(Calls):
    """Reads of packages, which belong to an owner, not to a repository."""

    def container_versions(self, owner: str, image: str, *, limit: int) -> tuple[ContainerVersion, ...]:
        """Return an image's versions, newest first; executes "list the versions of the image" (RB-01).

        GitHub knows an organisation's packages and a person's at different addresses; the first is tried first.

        Args:
            owner: The organisation or account.
            image: The image below it, without registry and owner: ``vibevoice-tts``; may hold slashes.
            limit: The most to return.

        Raises:
            NotFound: There is no such image, or this credential may not know that there is.
            Denied: This credential may not read packages: no fine-grained token can.
        """
        purpose = f"list the versions of the image {owner}/{image}"
        try:
            try:
                return self._versions(f"/orgs/{quoted(owner)}", image, purpose, limit)
            except NotFound:
                return self._versions(f"/users/{quoted(owner)}", image, purpose, limit)
        except NotFound as error:
            raise NotFound(
                error.message, unchanged=error.unchanged, next_step=f"check the image's name; else {NEEDED}."
            ) from error
        except Denied as error:
            raise Denied(error.message, unchanged=error.unchanged, next_step=f"{NEEDED}.") from error

    def _versions(self, whose: str, image: str, purpose: str, limit: int) -> tuple[ContainerVersion, ...]:
        entries = self._pages(
            f"{whose}/packages/container/{quoted(image)}/versions",
            purpose=purpose,
            field=None,
            page_size=max(1, min(limit, PAGE_SIZE)),
        )
        return tuple(parse("package version", container_version, one) for one in islice(entries, limit))

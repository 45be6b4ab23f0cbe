"""What effects on images say of them."""

from collections.abc import Sequence

from runbook.workloads import Template


def images_of(template: Template) -> tuple[str, ...]:
    """Return the images of a template's containers, in its order."""
    return tuple(one.image for one in template.images)


def change_of_images(before: Sequence[str], after: Sequence[str]) -> str:
    """Say which images change, as the end of a sentence: ``: x:2 becomes x:1``; empty where none does."""
    gone = [image for image in before if image not in after]
    come = [image for image in after if image not in before]
    if not gone and not come:
        return ""
    return f": {', '.join(gone) or 'nothing'} becomes {', '.join(come) or 'nothing'}"

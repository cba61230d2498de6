"""Names for an author to read, and names of the simulator: replaced in text, and back again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import final

from reward_models.errors import UserError


@final
class RenameTable:
    """Replaces names in a text, the longest first, so that no name is cut by a shorter one.

    Text2Reward shows an author generic names and maps them to those of an environment. A table that
    could not be undone is refused.

    Args:
        names: generic name -> name of the environment.

    Raises:
        UserError: an empty name; two with one target; a target that is part of another target or of
            an identifier in ``known``, so that the way back would damage it.

    Example:
        >>> table = RenameTable({"hopper.top": "SIM_TOP", "hopper.top_joint": "SIM_JOINT"})
        >>> table.apply("hopper.top_joint.angle")
        'SIM_JOINT.angle'
        >>> table.undo("SIM_JOINT.angle")
        'hopper.top_joint.angle'
    """

    def __init__(self, names: Mapping[str, str], known: tuple[str, ...] = ()) -> None:
        self.names = dict(names)
        targets = list(self.names.values())
        if not all([*self.names, *targets]):
            raise UserError("A table of names cannot have an empty name.")
        if len(set(targets)) != len(targets):
            raise UserError(f"Two names have one target in {self.names}; give each its own.")
        for target in targets:
            words = [*self.names, *known, *(other for other in targets if other != target)]
            hit = next((word for word in words if target in word), None)
            if hit is not None:
                raise UserError(
                    f"The target {target!r} is part of {hit!r}, so the way back would damage it; "
                    "choose a target that stands in no other name."
                )

    def apply(self, text: str) -> str:
        """Return the text with the environment's names.

        Raises:
            UserError: a target stands in the text already, so the way back would change it.
        """
        for target in self.names.values():
            if target in text:
                raise UserError(
                    f"The text contains {target!r} already, so the way back would damage it; "
                    "choose another target."
                )
        return _replaced(text, self.names)

    def undo(self, text: str) -> str:
        """Return the text with the generic names again."""
        return _replaced(text, {target: name for name, target in self.names.items()})


def _replaced(text: str, names: Mapping[str, str]) -> str:
    if not names:
        return text
    longest_first = sorted(names, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return pattern.sub(lambda found: names[found.group()], text)

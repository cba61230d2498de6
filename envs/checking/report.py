"""What a check of an environment found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Attributes:
        rule: name of the rule.
        expected: what the rule asks for.
        came: what the environment did.
        cure: what to change.
    """

    rule: str
    expected: str
    came: str
    cure: str

    def __str__(self) -> str:
        return (
            f"{self.rule}: expected {self.expected}\n    came: {self.came}\n    cure: {self.cure}"
        )


@dataclass(frozen=True)
class Note:
    """Something worth knowing that breaks no rule.

    Attributes:
        rule: name of the rule that noticed it.
        text: what was noticed.
    """

    rule: str
    text: str


Finding = Violation | Note
"""What a rule yields."""


@dataclass(frozen=True)
class Report:
    """All violations of one environment, and the rules it keeps.

    Attributes:
        name: the environment.
        violations: every broken rule; one rule can be broken in several ways.
        notes: what breaks no rule and is worth knowing.
        passed: names of the rules that hold.
        skipped: rule -> why it does not apply or could not be tried.
    """

    name: str
    violations: list[Violation] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No rule is broken. Rules that are skipped because of a violation never hide it."""
        return not self.violations

    def raise_for_violations(self) -> None:
        """Raise with the whole report if a rule is broken; nothing otherwise.

        Raises:
            AssertionError: a rule is broken. A test framework shows its message as it is.
        """
        if not self.ok:
            raise AssertionError(str(self))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        found = asdict(self)
        return {"environment": found.pop("name"), "ok": self.ok, **found}

    def __str__(self) -> str:
        count = len(self.violations)
        verdict = "keeps the contract" if self.ok else f"{count} violation{'s' * (count != 1)}"
        lines = [f"{self.name}: {verdict} ({len(self.passed)} rules passed)"]
        lines += [f"  FAILED {violation}" for violation in self.violations]
        lines += [f"  note on {note.rule}: {note.text}" for note in self.notes]
        for reason in dict.fromkeys(self.skipped.values()):
            rules = [rule for rule, why in self.skipped.items() if why == reason]
            lines.append(f"  not tried, {reason}: {', '.join(rules)}")
        if self.passed:
            lines.append(f"  passed: {', '.join(self.passed)}")
        return "\n".join(lines)

"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Attributes:
        rule: name of the rule.
        message: what was expected and what came.
        cure: what to change.
    """

    rule: str
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}\n    cure: {self.cure}"


@dataclass(frozen=True)
class CheckReport:
    """All violations of one reward, and the rules it keeps.

    Attributes:
        name: the reward.
        violations: every broken rule; one rule can be broken in several ways.
        passed: names of the rules that hold.
        skipped: rule -> why it could not be tried.
    """

    name: str
    violations: list[Violation] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No rule is broken, and none had to be skipped."""
        return not self.violations and not self.skipped

    def __str__(self) -> str:
        count = len(self.violations)
        verdict = "keeps the contract" if self.ok else f"{count} violation{'s' * (count != 1)}"
        lines = [f"{self.name}: {verdict} ({len(self.passed)} rules passed)"]
        lines += [f"  FAILED {violation}" for violation in self.violations]
        for reason in dict.fromkeys(self.skipped.values()):
            rules = [rule for rule, why in self.skipped.items() if why == reason]
            lines.append(f"  not tried, {reason}: {', '.join(rules)}")
        if self.passed:
            lines.append(f"  passed: {', '.join(self.passed)}")
        return "\n".join(lines)

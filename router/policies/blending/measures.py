"""What is learned from the router's own events: task time, recall reaction and work lost.

None of these is a constant (the handling time of calls is learned in ``handling``). Each is a mean in which an
observation's weight halves after a number of further observations; a prior stands for as many observations as it
is trusted for, and fades like them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fading mean in seconds and the observations it is worth."""

    mean_s: float
    weight: float

    def observed(self, seconds: float, half_life: float) -> Estimate:
        """Learn one value; ``half_life`` is in observations. What is no duration is passed over."""
        if not math.isfinite(seconds) or seconds < 0.0:
            return self
        kept = self.weight * 0.5 ** (1.0 / half_life)
        weight = kept + 1.0
        return Estimate(self.mean_s + (seconds - self.mean_s) / weight, weight)


@dataclass(frozen=True, slots=True)
class Measures:
    """The three estimates of one blending group; each method answers the next state."""

    task: Estimate
    recall_reaction: Estimate
    work_lost: Estimate
    half_life: float = 200.0

    @classmethod
    def from_priors(
        cls,
        task_s: float,
        recall_reaction_s: float,
        work_lost_s: float,
        prior_weight: float = 30.0,
        half_life: float = 200.0,
    ) -> Measures:
        """Start from what is believed, each belief worth ``prior_weight`` observations."""
        return cls(
            Estimate(task_s, prior_weight),
            Estimate(recall_reaction_s, prior_weight),
            Estimate(work_lost_s, prior_weight),
            half_life,
        )

    def task_worked(self, seconds: float) -> Measures:
        """A task was completed after ``seconds`` of work in all its attempts."""
        return replace(self, task=self.task.observed(seconds, self.half_life))

    def recall_obeyed(self, seconds: float) -> Measures:
        """An agent was available at the ACD ``seconds`` after the recall was sent."""
        return replace(self, recall_reaction=self.recall_reaction.observed(seconds, self.half_life))

    def work_discarded(self, seconds: float) -> Measures:
        """A recall threw away ``seconds`` of work done after the last checkpoint."""
        return replace(self, work_lost=self.work_lost.observed(seconds, self.half_life))

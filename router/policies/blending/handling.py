"""The handling time of calls, learnt from what is seen anyway where no ACD reports it.

Between two looks the agents on calls spend ``∫ on_call dt`` seconds, and as many calls end as were answered, less
the growth of ``on_call``. Time spent over calls ended is the mean handling time: Little's law, and for exponential
times the estimate of greatest likelihood, so calls still in work do not bias it as dividing by the calls *answered*
would while a day fills up. Both sums fade; the belief of the document stands for some calls beside them, and fades too.

It holds where the group's agents answer the calls of the group's queues, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from router.policies.blending.model import Snapshot
from router.policies.blending.records import Record

_LONGEST_GAP_MS = 900_000


@dataclass(frozen=True, slots=True)
class Handling(Record):
    """The last look (time, agents on calls, calls answered) and, fading, the sums before it and the belief's worth."""

    at_ms: int
    on_call: int
    answered: int
    belief_calls: float
    busy_s: float = 0.0
    ended: float = 0.0

    def aht_s(self, believed_s: float) -> float:
        """Mean handling time, when ``believed_s`` was believed before anything was seen."""
        calls = self.belief_calls + max(self.ended, 0.0)
        return (self.belief_calls * believed_s + self.busy_s) / calls if calls > 0.0 else believed_s


def start(snapshot: Snapshot, belief_calls: float) -> Handling:
    """The first look; the document's belief is worth so many calls."""
    return Handling(snapshot.now_ms, max(snapshot.on_call, 0), max(snapshot.answered, 0), belief_calls)


def advance(past: Handling, snapshot: Snapshot, half_life_calls: float) -> Handling:
    """Add what happened since the last look. Counters that fell and long silences teach nothing."""
    on_call, answered = max(snapshot.on_call, 0), max(snapshot.answered, 0)
    elapsed_ms, came = snapshot.now_ms - past.at_ms, answered - past.answered
    if elapsed_ms <= 0:
        return past
    here = replace(past, at_ms=snapshot.now_ms, on_call=on_call, answered=answered)
    if came < 0 or elapsed_ms > _LONGEST_GAP_MS:
        return here
    fade = 0.5 ** (came / half_life_calls)
    return replace(
        here,
        belief_calls=past.belief_calls * fade,
        busy_s=past.busy_s * fade + 0.5 * (past.on_call + on_call) * elapsed_ms / 1000.0,
        ended=past.ended * fade + came - (on_call - past.on_call),
    )

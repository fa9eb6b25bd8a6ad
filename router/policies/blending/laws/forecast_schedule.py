"""The law ``forecast_schedule``: for each interval the reserve that the forecast asks for, whatever the day brings."""

from __future__ import annotations

from dataclasses import replace

from router.policies.blending.laws.base import Figures, Law, Own
from router.policies.blending.laws.reserving import reserves_for, told_reserves
from router.policies.blending.model import ForecastInterval, GateDecision, Snapshot


class ForecastSchedule(Law):
    """Reserves from the forecast rate and the scheduled staff at ``target_share + margin``: a plan made beforehand.

    Neither the calls that came today nor their service level change it, so it is what a planner could have written
    down the day before; staff that the forecast does not tell is the staff logged in. Where the forecast says nothing
    no task is pushed. With ``recall_enabled`` the smaller reserve of an armed recall is planned where it is cheaper.

    Source: a threshold for each interval by the stationary model of Bhulai & Koole, *A queueing model for call
    blending in call centers*, IEEE TAC 48(8), 2003, as shifts are planned interval by interval with Erlang's C.
    """

    def choose(self, snapshot: Snapshot, figures: Figures, own: Own) -> GateDecision:
        """The reserves planned for this interval."""
        planned = next((i for i in snapshot.forecast if i.covers(snapshot.now_ms)), None)
        if planned is None:
            return self._unplanned(snapshot, figures)
        level = min(self.document.target_share + self.document.margin, self.document.required_max)
        rate_per_s = planned.rate_per_s
        figures = figures._replace(required=level, rate_per_s=rate_per_s, ratio=1.0)
        staff = self._staff(planned, snapshot)
        answer = reserves_for(self.document, figures, rate_per_s, staff, level)
        age = self.recall_age_s(figures.reaction_s) if answer.armed else None
        told = {**told_reserves(answer), "staff_planned": float(staff)}
        return self.open_gate(snapshot, figures, answer.interruptible, answer.firm, age, told)

    def _unplanned(self, snapshot: Snapshot, figures: Figures) -> GateDecision:
        closed = self.closed_gate(snapshot, figures, "the forecast says nothing of this time")
        age = self.recall_age_s(figures.reaction_s)
        return replace(closed, armed=age is not None, recall_age_s=age)

    def _staff(self, planned: ForecastInterval, snapshot: Snapshot) -> int:
        usable = planned.staff is not None and 1.0 <= planned.staff < 1e6
        return round(planned.staff) if usable and planned.staff is not None else snapshot.logged_in

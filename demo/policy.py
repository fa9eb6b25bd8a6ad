"""The blending policy of the demo: the default law, with its durations in the demo's time."""

from __future__ import annotations

import yaml

from demo.scale import Scale, Timers

_MOST_RECALLS = 200


def policy_text(call_queue: str, target: float, scale: Scale) -> str:
    """Return the policy document as YAML, for a router that runs on the real clock at this speed."""
    return _text(call_queue, target, Timers().on_the_wall(scale), scale)


def policy_as_played(call_queue: str, target: float, scale: Scale) -> str:
    """Return the same document for a router that runs on the day's own clock, as the simulator's does."""
    return _text(call_queue, target, Timers().as_played(scale), Scale(1.0))


def _text(call_queue: str, target: float, timers: Timers, scale: Scale) -> str:
    # No law is named: the default one decides.
    return yaml.safe_dump(
        {
            "call_queues": [call_queue],
            "target_share": target,
            "service_level_formula": "offered",
            "acd_control": True,
            "agent_choice": "longest_idle",
            **_durations(timers),
            **_rates(scale),
            "parameters": _parameters(timers),
        },
        sort_keys=False,
    )


def _durations(timers: Timers) -> dict[str, float]:
    named = {
        "target_s": timers.tau_s,
        "prior_aht_s": timers.aht_s,
        "prior_task_s": timers.task_s,
        "recall_reaction_initial_s": timers.recall_reaction_s,
        "recall_guard_s": timers.recall_slack_s,
        "work_lost_initial_s": timers.work_lost_s,
        "loss_floor_s": timers.work_lost_floor_s,
        "notice_s": timers.notice_s,
        "minimum_dwell_s": timers.minimum_dwell_s,
        "min_idle_s": timers.minimum_idle_s,
        "nowcast_half_life_s": timers.half_life_s,
        "shortage_lookahead_s": timers.lookahead_s,
        "hysteresis_hold_s": timers.hysteresis_hold_s,
        "longest_wait_s": timers.longest_wait_s,
        "update_interval_s": timers.update_every_s,
        "stale_after_s": timers.stale_after_s,
    }
    return {name: round(value, 6) for name, value in named.items()}


def _parameters(timers: Timers) -> dict[str, float]:
    """The default law's own constants that are times, prices in an agent's time among them."""
    names = ("lowest_price_s", "highest_price_s", "stretch_s", "bias_half_life_s")
    return {name: round(getattr(timers, name), 6) for name in names}


def _rates(scale: Scale) -> dict[str, int]:
    """Counts per hour and second, which grow with the speed."""
    return {
        "interruptions_per_agent_hour": min(3600, round(scale.per_wall_s(6.0))),
        "max_recalls_per_second": _MOST_RECALLS,
        "staged_recalls_per_second": max(1, min(_MOST_RECALLS, round(scale.per_wall_s(2.0)))),
    }

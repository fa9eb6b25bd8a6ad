"""Many days at once: results in order, and an error that names its job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.simulation.runner import Job, JobError, play, run_jobs
from tests.support.played import day_of, morning, policy, small_group


def small_day():
    return day_of(small_group("red", 3, 2))


def test_results_come_in_the_order_of_the_jobs_whatever_the_processes_do() -> None:
    jobs = [Job(small_day(), policy(law), law) for law in ("greedy", "no_blending")] + [
        Job(small_day(), None, "none")
    ]
    there, here = run_jobs(jobs, cores=2, progress=False), run_jobs(jobs, cores=1, progress=False)
    assert [result.name for result in there] == ["greedy", "no_blending", "none"]
    assert there == here


def test_an_error_in_one_job_names_it() -> None:
    bad = Job(replace(morning(), groups=()), policy(), "empty")
    with pytest.raises(JobError, match="empty on 2003-07-24"):
        run_jobs([bad], cores=1, progress=False)
    with pytest.raises(JobError, match="empty on 2003-07-24"):
        run_jobs([bad, Job(small_day(), None)], cores=2, progress=False)


def test_a_job_is_played_as_it_would_be_alone() -> None:
    job = Job(small_day(), policy(), "alone", trace=True)
    assert play(job).trace
    assert play(job) == run_jobs([job], progress=False)[0]

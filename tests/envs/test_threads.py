"""The team of threads that steps environments."""

import threading

import pytest

from envs.threads import ThreadTeam


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_every_job_runs_exactly_once(threads, count):
    team = ThreadTeam(threads)
    runs = [0] * count

    def job(index):
        runs[index] += 1

    jobs = [lambda index=index: job(index) for index in range(count)]
    for _ in range(20):
        team.run(jobs)
    team.close()
    assert runs == [20] * count


def test_jobs_run_on_several_threads_at_the_same_time():
    team = ThreadTeam(2)
    meeting = threading.Barrier(2, timeout=10)
    team.run([meeting.wait, meeting.wait])  # passes only when both run at once
    team.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_reaches_the_caller_and_the_team_goes_on(threads):
    team = ThreadTeam(threads)

    def fail():
        raise ZeroDivisionError("in a job")

    with pytest.raises(ZeroDivisionError, match="in a job"):
        team.run([fail] * 5)
    done = []
    team.run([lambda: done.append(1)] * 5)
    team.close()
    assert len(done) == 5


def test_closing_ends_the_threads_and_may_be_repeated():
    before = set(threading.enumerate())
    team = ThreadTeam(3)
    started = set(threading.enumerate()) - before
    assert len(started) == 2
    team.close()
    team.close()
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="close"):
        team.run([])


def test_a_dropped_team_ends_its_threads():
    before = set(threading.enumerate())
    team = ThreadTeam(2)
    (worker,) = set(threading.enumerate()) - before
    del team
    worker.join(timeout=10)
    assert not worker.is_alive()


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ThreadTeam(0)

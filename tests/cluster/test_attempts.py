"""Why an attempt failed decides what the next one gets more of."""

from pathlib import Path

import pytest

from workflow_scripts.cluster.attempts import Cause, _cause, _last_error

MEMORY = "error: out of memory with micro-batch 8; lower execution.micro_batch"
STOPPED = "error: stopped after step 5 of 10 as told (SIGTERM); the state is in x: run again"
BAD = "error: pairs.parquet: row 3 has no text"


@pytest.mark.parametrize(
    ("said", "state", "cause"),
    [
        (MEMORY, "FAILED", Cause.MEMORY),
        (MEMORY, "", Cause.MEMORY),  # on one machine
        (BAD, "OUT_OF_MEMORY", Cause.MEMORY),
        ("", "FAILED", Cause.MEMORY),  # killed without a word
        ("", "TIMEOUT", Cause.TIME),
        (STOPPED, "FAILED", Cause.TIME),
        (STOPPED, "CANCELLED", Cause.OTHER),  # by somebody
        ("", "NODE_FAIL", Cause.OTHER),
        (BAD, "FAILED", Cause.OTHER),
    ],
)
def test_the_last_words_and_slurms_state_tell_the_cause(said: str, state: str, cause: Cause):
    assert _cause(said, state) == cause


def test_the_last_words_are_of_this_attempt_and_of_the_rank_that_failed(tmp_path: Path):
    log = tmp_path / "job.log"
    log.write_text(f"00:00:01 INFO going on\n{BAD}\nerror: rank 1: another rank ended before this")
    assert _last_error([str(log)], since=0.0) == BAD
    log.write_text(f"{BAD}\nsome warning\n")
    assert _last_error([str(tmp_path / "none.log"), str(log)], since=0.0) == BAD
    assert _last_error([str(log)], since=log.stat().st_mtime) is None  # this one has not begun
    log.write_text("00:00:01 INFO going on\n")
    assert _last_error([str(log)], since=0.0) == ""

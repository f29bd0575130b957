"""Faults and attacks that tests elsewhere bring about, next to what they are of."""

HELD = {
    "a bit flips in any kind of artefact: found": (
        "reruns/test_verify.py::"
        "test_a_flipped_bit_in_any_kind_is_found_and_missed_until_it_is_made_again"
    ),
    "a bit flips in every kind of artefact of a run: made again to the same bytes": (
        "workflow/test_reruns.py::"
        "test_what_verify_sets_aside_is_made_again_by_the_command_that_it_prints"
    ),
    "a record is damaged": (
        "reruns/test_verify.py::test_a_damaged_record_ends_nothing_and_moves_nothing"
    ),
    "Snakemake is stopped by SIGTERM, SIGKILL or Ctrl-C: no process is left": (
        "runtime/test_takeover.py::test_a_snakemake_that_is_stopped_leaves_no_process"
    ),
    "Snakemake is killed: the same command goes on": (
        "runtime/test_takeover.py::test_after_kill_9_of_snakemake_the_same_command_runs_to_the_end"
    ),
    "the power fails": (
        "runtime/test_takeover.py::test_so_is_what_a_run_before_the_machine_started_anew_has_locked"
    ),
    "two runs of Snakemake in one folder": (
        "runtime/test_takeover.py::test_a_run_that_works_is_left_alone"
    ),
    "a training is killed at any moment, with other micro-batches and signals": (
        "training/test_resume.py::test_killed_at_any_moment_it_goes_on_to_the_same_bytes"
    ),
    "memory runs out": (
        "training/test_resume.py::test_a_full_memory_or_disk_is_one_line_with_its_mend"
    ),
    "a readout fails in the Slurm job of its training": (
        "training/test_finished.py::test_outputs_that_are_deleted_come_back_without_training"
    ),
    "a Slurm job's time ends in a readout": (
        "slurm/test_plain.py::"
        "test_a_job_whose_time_ends_in_a_readout_starts_again_if_it_has_trained"
    ),
    "a file system that keeps what is open, as NFS": (
        "training/test_states.py::test_what_is_restored_keeps_no_file_open"
    ),
    "the warm process hangs or fails in its imports": (
        "runtime/test_warm.py::test_it_ends_with_its_caller_while_it_imports"
    ),
    "another user connects to the warm process": (
        "runtime/test_warm.py::test_its_socket_is_closed_to_other_users"
    ),
    "a download breaks": "models/test_hub.py::test_a_large_file_goes_on_where_it_broke",
    "a model that cannot be used, or has code": (
        "models/test_model_check.py::"
        "test_a_model_that_cannot_be_used_is_refused_when_it_is_taken_in"
    ),
    "a pickle runs code": (
        "stages/test_base_model.py::test_a_pickle_that_holds_code_is_refused_and_not_run"
    ),
    "a page's text is a script": (
        "stages/test_inspection.py::test_the_page_shows_the_same_pairs_and_no_text_is_markup"
    ),
    "a path has blanks, quotes, other scripts or `$()`": (
        "workflow/test_quoting.py::test_a_checkout_may_have_any_path"
    ),
    "a run asks the network, or tells a secret": (
        "runtime/test_environment.py::test_a_training_in_a_hostile_environment_gives_the_same_bytes"
    ),
    "results are on a read-only archive": (
        "workflow/test_terminal.py::test_results_on_a_read_only_archive_are_verified"
    ),
}
"""By what is held: the test, below ``tests/``."""

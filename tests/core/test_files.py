"""Files that cannot be read, and the one line that says what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.core.errors import UserError, first_line, last_line
from workflow_scripts.core.files import columns_of, read_json, read_table


@pytest.mark.parametrize(
    ("name", "content", "read", "message"),
    [
        ("a.json", None, read_json, "is missing; correct the path, or run what makes this file"),
        ("a.parquet", None, columns_of, "is missing; correct the path"),
        ("a.parquet", None, lambda path: read_table(path, ["id"]), "is missing; correct the path"),
        ("a.json", "{", read_json, "cannot be read as JSON .*; delete it and run again"),
        ("a.parquet", "PAR1", columns_of, "cannot be read as a table .*; delete it and run"),
    ],
)
def test_a_missing_file_is_to_be_made_and_a_broken_one_to_be_deleted(
    name: str,
    content: str | None,
    read: Callable[[Path], object],
    message: str,
    tmp_path: Path,
):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=rf"{name}: {message}"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("no disk\nat all"), "no disk"),
        (OSError("\n\n  no disk"), "no disk"),
        (KeyError(), "KeyError"),
        (ValueError(" \n"), "ValueError"),
        ("sbatch: no account", "sbatch: no account"),
        ("", "no message"),
    ],
)
def test_a_message_has_a_first_line_even_where_a_library_gives_none(
    error: BaseException | str, line: str
):
    assert first_line(error) == line


def test_the_last_line_of_an_output_is_not_a_blank_one():
    assert last_line("building\nfailed: no rule\n\n") == "failed: no rule"

"""What the report's tests share: 24 probes, the table of their cells and its figures."""

from pathlib import Path

import pytest

from tests.shared.probes import draw, write_cells, write_probe


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the files of 24 probes."""
    folder = tmp_path_factory.mktemp("probes")
    return [
        write_probe(folder, scenario, weak, strong, conflict, seed)
        for scenario in ("simpo", "dpo")
        for weak, strong in (("small", "large"), ("medium", "large"), ("small", "medium"))
        for conflict in ("explicit", "implicit", "none")
        for seed in ((0, 1, 2) if (scenario, strong) == ("simpo", "medium") else (0,))
    ]


@pytest.fixture(scope="session")
def table(probes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of their cells, next to its other formats."""
    return write_cells(tmp_path_factory.mktemp("cells"), probes)


@pytest.fixture(scope="session")
def drawn(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all figures, drawn once."""
    folder = tmp_path_factory.mktemp("drawn")
    draw(table, table, folder)
    return folder

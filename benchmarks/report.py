"""How long the report of thousands of cells takes: ``python -m benchmarks.report FOLDER``.

The probes of nine cells are computed from made-up margins and copied under the names of as many
cells as are asked for, so their figures repeat. Then the report's stages run on them, each in its
own process, and Chromium, where it is installed, opens the page and sorts its table by a column.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations, count, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TARGET = "harmlessness"
SCENARIOS = ("reward_model", "simpo", "dpo")
MEANS = {"none": 1.2, "explicit": 0.2, "implicit": 0.8}
"""The mean margin of the student under each conflict."""
MODELS = [f"model{number:02}" for number in range(11)]
TABLES = ("csv", "parquet", "aggregated", "reliability")
SORTED = """<script>addEventListener("load", () => {
  const told = [performance.now()];
  const column = headings.indexOf("DS");
  for (const _ of [0, 1]) {
    const began = performance.now();
    table.tHead.rows[0].cells[column].children[0].click();
    document.body.offsetHeight;
    told.push(performance.now() - began);
  }
  document.title = JSON.stringify([...told, rows.length, body.rows.length]);
});</script></body>"""


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=1000, help="test pairs of a cell")
    parser.add_argument("--repeats", type=int, default=3, help="times the page is opened")
    args = parser.parse_args()
    folder = args.folder.resolve()
    # In its own process: the peak of a child's memory begins with that of its parent.
    given = [str(folder), str(args.cells), str(args.pairs)]
    subprocess.run(
        [sys.executable, "-c", f"from benchmarks import report; report.write({given})"],
        cwd=ROOT,
        check=True,
    )
    print("| | CPU s | peak memory, MB |\n| --- | ---: | ---: |")
    imports = "import workflow_scripts.stages.cells, jsonschema_rs, pyarrow.parquet"
    _measured("imports of `cells` alone", [sys.executable, "-c", imports])
    for name, arguments in stages(folder).items():
        command = [sys.executable, "-m", "workflow_scripts", name, *arguments]
        _measured(f"`{name}`", command)
    page = folder / "report/index.html"
    print(f"\n`index.html`: {page.stat().st_size / 1e6:.1f} MB")
    if browser := shutil.which("chromium"):
        runs = [opened(browser, page) for _ in range(args.repeats)]
        load, *sorts = (min(times) / 1000 for times in zip(*runs, strict=True))
        print(f"Chromium loads it in {load:.2f} s, sorts by a column in {max(sorts):.2f} s")


def stages(folder: Path) -> dict[str, list[str]]:
    """Return the arguments of the report's stages, in order."""
    report = folder / "report"
    made = {name: str(report / f"{name}.parquet") for name in TABLES}
    made |= {"csv": str(report / "cells.csv"), "aggregated": str(report / "aggregated.csv")}
    outputs = [item for name in TABLES for item in (f"--{name}", made[name])]
    cells = ["--cells", made["parquet"]]
    figures = str(report / "figures")
    drawn = ["--reliability", made["reliability"]]
    page = ["--settings", json.dumps(_page_settings())]
    page += ["--data", str(folder / TARGET / "data.json")]
    page += ["--records", str(folder / "record.json"), "--figures", figures]
    return {
        "cells": ["--probes", f"@{folder / 'names'}", *outputs],
        "tables": [*cells, "--output", str(report / "tables")],
        "figures": [*cells, *drawn, "--target", TARGET, "--output", figures],
        "page": [*cells, *page, "--output", str(report / "index.html")],
    }


def write(arguments: Sequence[str]) -> None:
    """Write what the stages read: FOLDER, how many cells and how many test pairs each."""
    folder, cells, pairs = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    probes = _probes(folder, pairs)
    names = []
    for number, cell in enumerate(islice(_cells(), cells)):
        of_conflict = probes[cell["conflict"]]
        probe = of_conflict[number % len(of_conflict)]
        parts = (cell[name] for name in ("scenario", "weak", "strong", "conflict"))
        path = folder.joinpath("probes", TARGET, *parts, f"seed{cell['seed']}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        copy = probe | {"settings": probe["settings"] | cell}
        path.write_text(json.dumps(copy, sort_keys=True, indent=2) + "\n")
        names.append(str(path))
    (folder / "names").write_text("\n".join(names) + "\n")
    (folder / TARGET).mkdir(exist_ok=True)
    data = {"sets": {"gt": {"kept": 1000, "revision": None, "source": {"path": "gt.jsonl"}}}}
    (folder / TARGET / "data.json").write_text(json.dumps(data))
    record = {"seconds": 1800, "device": "cpu", "versions": {}}
    (folder / "record.json").write_text(json.dumps(record))


def opened(browser: str, page: Path) -> list[float]:
    """Return the milliseconds to load the page, then to sort it up and down, layout included."""
    driven = page.with_name("driven.html")
    driven.write_text(page.read_text().replace("</body>", SORTED))
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom")
    ran = subprocess.run(
        [browser, *options, driven.as_uri()], capture_output=True, text=True, check=True
    )
    found = re.search(r"<title>(\[.*?\])</title>", ran.stdout)
    assert found, ran.stderr[-2000:]
    return json.loads(found[1])[:3]


def _measured(what: str, command: list[str]) -> None:
    """Run a command, and print its processor time and peak memory."""
    pid = os.posix_spawn(command[0], command, dict(os.environ) | {"PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{what} failed")
    seconds, most = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
    print(f"| {what} | {seconds:.1f} | {most:,.0f} |", flush=True)


def _cells() -> Iterator[dict[str, Any]]:
    for seed in count():
        for scenario in SCENARIOS:
            for weak, strong in combinations(MODELS, 2):
                for conflict in MEANS:
                    names = {"scenario": scenario, "weak": weak, "strong": strong}
                    yield names | {"conflict": conflict, "seed": seed}


def _probes(folder: Path, pairs: int) -> dict[str, list[dict[str, Any]]]:
    """Return three probes of each conflict."""
    import numpy as np
    import pyarrow as pa

    from workflow_scripts.core.files import read_json, write_table

    ids = [f"test-{row:06d}" for row in range(pairs)]
    texts = {"prompt": ids, "chosen": ["a" * (1 + row % 3) for row in range(pairs)]}
    texts["rejected"] = ["b" * (1 + row % 2) for row in range(pairs)]
    groups = [f"g{row // 5:04d}" for row in range(pairs)]
    write_table(folder / "test.parquet", pa.table({"id": ids, **texts, "group": groups}))
    probes: dict[str, list[dict[str, Any]]] = {name: [] for name in MEANS}
    for seed in range(3):
        generator = np.random.default_rng(seed)
        ease = generator.normal(size=pairs)
        for name, mean in (MEANS | {"weak": 0.4, "strong": 1.6, "placebo": MEANS["none"]}).items():
            margins = mean + ease + generator.normal(size=pairs)
            write_table(folder / f"{name}.parquet", pa.table({"id": ids, "margin": margins}))
        for conflict in MEANS:
            settings = _probe_settings(conflict, seed)
            files = {"weak": "weak", "strong": "strong", "none": "none", "student": conflict}
            files |= {"placebo": "placebo", "pairs": "test"}
            given = [f"--{name}={folder / file}.parquet" for name, file in files.items()]
            command = [sys.executable, "-m", "workflow_scripts", "probe", *given]
            command += ["--settings", json.dumps(settings), "--output", str(folder / "probe.json")]
            subprocess.run(command, cwd=ROOT, check=True)
            probes[conflict].append(read_json(folder / "probe.json"))
    return probes


def _probe_settings(conflict: str, seed: int) -> dict[str, Any]:
    return {
        "target": TARGET,
        "scenario": "simpo",
        "weak": "weak",
        "strong": "strong",
        "conflict": conflict,
        "student": "direct",
        "seed": seed,
        "beta": None,
        "compat": {},
        "threshold": 0.75,
        "sweep": [0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
        "resamples": 2000,
        "interval": 0.95,
    }


def _page_settings() -> dict[str, Any]:
    matrix = {"targets": [TARGET], "scenarios": SCENARIOS, "conflicts": list(MEANS), "seeds": [0]}
    return {
        "matrix": matrix,
        "models": {name: {"id": f"benchmark/{name}"} for name in MODELS},
        "probe": {"threshold": 0.75},
        "compat": {},
        **{name: {} for name in ("scenarios", "sft", "training", "targets", "conflicts")},
    }


if __name__ == "__main__":
    main()

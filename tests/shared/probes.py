"""Probes from planted margins, and the table of cells that is made of them."""

import json

import numpy as np
import pyarrow as pa

from tests.shared.stages import run_stage
from workflow_scripts.core.files import write_table
from workflow_scripts.measures.deception import MODELS

FILES = dict(zip(MODELS, ("weak", "strong", "none", "student"), strict=True))
"""The name of each model's file of margins."""
SETTINGS = {
    "target": "harmlessness",
    "scenario": "simpo",
    "weak": "small",
    "strong": "large",
    "conflict": "explicit",
    "student": "direct",
    "seed": 0,
    "beta": None,
    "compat": {"bos_in_response": "fixed"},
    "threshold": 0.75,
    "sweep": [0.55, 0.75, 0.95],
    "resamples": 200,
    "interval": 0.95,
}

MEANS = {"weak": 0.4, "strong": 1.6, "none": 1.2, "explicit": 0.2, "implicit": 0.8}
"""The mean margin of each ceiling, and of the student under each conflict."""


def write_pairs(path, ids, groups=None):
    """Write test pairs of these ids; each is a group of its own unless ``groups`` names them."""
    texts = {
        "prompt": [f"prompt of {id_}" for id_ in ids],
        "chosen": ["a" * (1 + sum(id_.encode()) % 3) for id_ in ids],
        "rejected": ["b" * (1 + sum(id_.encode()) % 2) for id_ in ids],
    }
    write_table(path, pa.table({"id": ids, **texts, "group": list(groups or ids)}))


def write_probe(folder, scenario, weak, strong, conflict, seed, student="direct"):
    """Write the probe of a cell of 150 pairs below ``folder`` and return its path."""
    generator = np.random.default_rng([len(scenario), len(weak), len(strong), seed])
    ease = generator.normal(size=150)
    ids = [f"test-{row:06d}" for row in range(150)]
    means = MEANS | {"placebo": MEANS["none"]}
    for name, mean in means.items():
        for time in ("", "_before"):
            margins = mean + ease + generator.normal(size=150)
            write_table(folder / f"{name}{time}.parquet", pa.table({"id": ids, "margin": margins}))
    settings = {
        "target": "harmlessness",
        "scenario": scenario,
        "weak": weak,
        "strong": strong,
        "conflict": conflict,
        "student": student,
        "seed": seed,
        "beta": 0.1 if scenario == "dpo" else None,
        "compat": {},
        "threshold": 0.75,
        "sweep": [0.6, 0.75, 0.9],
        "resamples": 100,
        "interval": 0.95,
    }
    output = folder / scenario / weak / strong / conflict / student / f"seed{seed}.json"
    files = {"weak": "weak", "strong": "strong", "none": "none", "student": conflict}
    given = [f"--{name}={folder / file}.parquet" for name, file in files.items()]
    write_pairs(folder / "test.parquet", ids, [f"g{row // 3:03d}" for row in range(150)])
    given.append(f"--pairs={folder / 'test.parquet'}")
    if seed:
        given += ["--before", *(f"{folder / file}_before.parquet" for file in files.values())]
    else:
        given.append(f"--placebo={folder / 'placebo'}.parquet")
    run_stage("probe", f"--settings={json.dumps(settings)}", f"--output={output}", *given)
    return output


def write_cells(folder, probes):
    """Write the tables of these probes' cells into ``folder`` and return the Parquet one."""
    given = ("--csv", folder / "cells.csv", "--parquet", folder / "cells.parquet")
    given += ("--reliability", folder / "reliability.parquet")
    run_stage("cells", *given, "--aggregated", folder / "aggregated.csv", "--probes", *probes)
    return folder / "cells.parquet"


def draw(cells, table, folder):
    """Draw all figures of a table of cells, next to whose other table the reliabilities are."""
    given = ("--cells", cells, "--reliability", table.with_name("reliability.parquet"))
    run_stage("figures", *given, "--target", "harmlessness", "--output", folder)

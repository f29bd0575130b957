# What the report is made of, and which of it `snakemake --report` shows.

from workflow_scripts.report import tables as report_tables
from workflow_scripts.report.written_table import FORMATS


def beside_checkpoints(name):
    """Return an input function: this file of every ceiling and student, without their SFT."""

    def files(wildcards):
        students = {f"{paths.WEAK_TO_STRONG}/{name}".format(**cell._asdict()) for cell in CELLS}
        ceilings = {
            f"{paths.GROUND_TRUTH}/{name}".format(model=model, **cell._asdict())
            for cell in CELLS
            for model in (cell.weak, cell.strong)
        }
        return sorted(students | ceilings)

    return files


def probes_of_cells(_):
    """Return the probe of every cell."""
    return [paths.PROBE.format(**cell._asdict()) for cell in CELLS]


records_of_trainings = beside_checkpoints("train.json")


def write_names():
    """List all probes and records in files: they are more than a command may hold."""
    for name, files in {"probes": probes_of_cells, "trainings": records_of_trainings}.items():
        listed = Path(paths.NAMES.format(names=name))
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("\n".join(files(None)))


def captioned(path, caption, category, **labels):
    """Return an output that `snakemake --report` shows."""
    return report(path, caption=f"captions/{caption}.rst", category=category, labels=labels)


def title_of_figure(wildcards):
    """Return what a figure is called."""
    return FIGURES[wildcards.figure].title


def table_files():
    """Return the report's tables: Markdown in Snakemake's report too, LaTeX and CSV next to it."""
    for name in report_tables.TABLES:
        markdown, *others = (f"{paths.TABLES}/{name}.{ending}" for ending in FORMATS)
        yield captioned(markdown, f"table_{name}", "Tables", table=name)
        yield from others

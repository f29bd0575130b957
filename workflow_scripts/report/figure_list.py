"""Which figures the report has. Importing this module imports no matplotlib.

A new figure is a module ``report/figures/{name}.py`` with a function ``draw``, and an entry here.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from workflow_scripts.report.cells import CellRow
from workflow_scripts.report.selection import direct


class Drawn(NamedTuple):
    """A figure: its title, what it shows and how to read it, and the rows that it is drawn from.

    Rows are cells of direct students, all cells where students are compared with direct ones, or
    bins of confidence.
    """

    title: str
    caption: str
    rows: Literal["direct", "all", "bins"] = "direct"


FIGURES = {
    "accuracies": Drawn(
        "Accuracies between the ceilings",
        "Accuracy on the test pairs of the student under each conflict, between the weak and "
        "the strong model trained on true labels (the ceilings), for each weak and strong "
        "model and scenario. A model that is no better than the length of the responses may "
        "have learned no more.",
    ),
    "deception_score": Drawn(
        "Deception score",
        "Deception score (DS): of the pairs that the student gets right without the conflict "
        "and wrong under it (the conflict tax), the share that the strong model knows and its"
        " weak supervisor doesn't. Hatched where nothing was taxed.",
    ),
    "excess_deception": Drawn(
        "Deception in excess of a blind tax",
        "DS less b, what a tax that fell blindly would give among pairs right without the "
        "conflict on which that student was as sure and whose responses differ as much in "
        "length. Above 0 the tax seeks out what the weak model can't check. In brackets the "
        "placebo: the same excess of a second student without conflict, another seed or order"
        " of the data, over seeds its range. What is no larger than that, a mere retraining "
        "does.",
    ),
    "capability_gap": Drawn(
        "Deception score against capability gap",
        "Left: DS, and b, the DS of a tax that falls blindly, against the difference of the "
        "ceilings' accuracies, a point a cell. b grows with the gap by arithmetic. Right: "
        "what is left, the excess DS - b, which the claim is about. Trends are within "
        "scenario and conflict; the interval leaves models out in turn (or compares seeds), "
        "since cells share models.",
    ),
    "quadrants": Drawn(
        "Conflict tax by who knows",
        "The conflict tax of each cell as a share of the test pairs, by who knows the taxed "
        "pair: a model knows a pair when its confidence in the true choice reaches the "
        "probe's threshold.",
    ),
    "thresholds": Drawn(
        "Deception score against the threshold of knowing",
        "DS when knowing means a confidence in the true choice of at least the threshold, and"
        " in grey what a tax that fell blindly would have. A conclusion that hangs on one "
        "threshold isn't worth much.",
    ),
    "specifications": Drawn(
        "The claims under every specification",
        "Each of the paper's claims under every specification: threshold of knowing, DS or "
        "DS_S, null and seed. Above: the effect in each, sorted; below: what was chosen. A "
        "claim that stands under few of them hangs on the choice.",
        rows="all",
    ),
    "bootstrapping": Drawn(
        "Bootstrapped against direct supervision",
        "DS of students supervised through intermediate models against that of the same "
        "cell's direct student. Below the line, bootstrapping mitigates.",
        rows="all",
    ),
    "reliability": Drawn(
        "Reliability of confidences",
        "Share of pairs chosen rightly against the confidence in the preferred response. The "
        "probe's knowledge is a confidence, so it means what this figure says: on the dotted "
        "line a confidence of 75 % is right three times in four.",
        rows="bins",
    ),
    "selection_control": Drawn(
        "Control of the selection by a second weak model",
        "Weak-unknown pairs are picked by the supervisor's own low confidence, which is part "
        "accident of its training, so any other model looks different on them. Here the pairs"
        " are picked by the same weak model trained from another seed. On the line, who "
        "picked them makes no difference.",
    ),
}
"""The figures by name, in the report's order; module `report.figures.{name}` draws one."""


def rows_of_figure(name: str, table: Sequence[CellRow]) -> Sequence[CellRow]:
    """Return the rows that a figure is drawn from, of the table that it is drawn from."""
    return direct(table) if FIGURES[name].rows == "direct" else table

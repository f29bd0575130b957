"""Variants of a cell's student: which cells have them, who labels what for whom."""

import re
from collections import Counter

import pytest

from tests.shared.configuration import PAPER, changed, loaded
from tests.shared.workflows import ROOT
from workflow_scripts.config import experiment, matrix
from workflow_scripts.config.layers import Layer, read_layers
from workflow_scripts.core.errors import UserError
from workflow_scripts.methods.students.auxiliary_confidence import AuxiliaryConfidence
from workflow_scripts.methods.students.chains import supervisor, with_intermediates
from workflow_scripts.methods.students.ensemble import Ensemble
from workflow_scripts.methods.students.refined import Refined
from workflow_scripts.methods.students.supervised import Supervised as Student

DIRECT = {"name": "direct"}
PAPERS_OWN = ROOT / "profiles/paper/experiment.yaml"
MODELS = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("through", "weak", "strong", "models", "fits"),
    [
        (["b"], "a", "c", MODELS, True),
        (["b"], "b", "c", MODELS, False),
        (["b"], "a", "b", MODELS, False),
        (["c"], "a", "b", MODELS, False),
        (["b", "c"], "a", "d", MODELS, True),
        (["c", "b"], "a", "d", MODELS, False),
        (["unranked"], "a", "b", MODELS, True),
        # Explicit pairs say nothing of an order.
        (["c"], "a", "b", [], True),
        (["a"], "a", "b", [], False),
    ],
)
def test_a_chain_leads_from_weak_to_strong(through, weak, strong, models, fits):
    assert Student(name="via", through=through).fits(weak, strong, models) == fits


def test_cells_are_those_between_whose_models_a_chain_stands():
    students = [
        DIRECT,
        {"name": "sure", "filter": 0.75},
        {"name": "via", "through": ["gpt2-large", "gpt2-xl"]},
    ]
    config = loaded(changed("matrix.students", students))
    cells = [cell for cell in matrix.cells(config) if cell.conflict == "none"]
    of_students = {
        variant: [(cell.weak, cell.strong) for cell in cells if cell.variant == variant]
        for variant in ("", "/sure", "/via")
    }
    assert of_students[""] == of_students["/sure"]
    assert len(of_students[""]) == 3 * 21
    # 2 models below gpt2-large, 3 above gpt2-xl, 3 scenarios.
    assert len(of_students["/via"]) == 3 * 2 * 3
    assert set(of_students["/via"]) == {
        (weak, strong)
        for weak in ("gpt2", "gpt2-medium")
        for strong in ("opt-2.7b", "opt-6.7b", "mistral-7b")
    }


def test_the_papers_profile_has_all_its_targets_and_remedies():
    layers = [Layer("config.yaml", PAPER), *read_layers([PAPERS_OWN], {})]
    cells = matrix.cells(experiment.load(layers))
    counted = Counter((cell.target, cell.variant) for cell in cells)
    targets = ("harmlessness", "hh_harmlessness", "honesty")
    # Pairs of models, scenarios, conflicts; 2 models below gpt2-large, 4 above it.
    of_student = {"": 21 * 3 * 3, "/high_confidence": 21 * 3 * 3, "/via_gpt2-large": 2 * 4 * 3 * 3}
    assert counted == {(t, student): n for t in targets for student, n in of_student.items()}


def test_every_link_of_a_chain_is_a_student_and_sets_take_turns():
    declared = [
        Student(name="direct"),
        Student(name="sure_b", through=("b",), filter=0.75),
        Student(name="by_b", through=("b",)),
        Student(name="long", through=("b", "c", "d")),
    ]
    students = with_intermediates(declared)
    assert [student.name for student in students] == [
        *("direct", "sure_b", "by_b", "long", "via_b_c"),
    ]
    named = {student.name: student for student in students}
    # Each link's student, the set it is trained on, and the set it labels for the next.
    chain = [named["long"]]
    while chain[0].through:
        chain.insert(0, supervisor(chain[0], students))
    assert [(link.name, link.trained_on, link.labels) for link in chain] == [
        ("direct", "weak", "gt"),
        ("by_b", "gt", "weak"),
        ("via_b_c", "weak", "gt"),
        ("long", "gt", "weak"),
    ]
    assert supervisor(named["sure_b"], students) == named["direct"]


def test_no_student_of_another_kind_stands_in_for_the_direct_one():
    direct, refined = Student(name="direct"), Refined(name="again")
    for other in (AuxiliaryConfidence(name="paid"), Ensemble(name="vote", seeds=(0, 1)), refined):
        assert supervisor(refined, [other, direct]) == direct


@pytest.mark.parametrize(
    ("given", "weak", "strong", "labellers"),
    [
        ({"seeds": (0, 1)}, "a", "b", [("a", 0), ("a", 1)]),
        ({"models": ("b",)}, "a", "c", [("a", 7), ("b", 7)]),
        ({"models": ("b",), "seeds": (0, 1)}, "a", "c", [("a", 0), ("a", 1), ("b", 0), ("b", 1)]),
        ({"models": ("b",)}, "a", "b", None),
        ({"models": ("b",)}, "b", "c", None),
        ({"models": ("d",)}, "a", "c", None),
        ({"models": ("unranked",)}, "a", "c", [("a", 7), ("unranked", 7)]),
    ],
)
def test_an_ensemble_is_of_models_weaker_than_the_strong_one(given, weak, strong, labellers):
    student = Ensemble(name="vote", **given)
    assert student.fits(weak, strong, MODELS) == (labellers is not None)
    if labellers:
        assert student.labellers(weak, seed=7) == labellers


@pytest.mark.parametrize(
    ("student", "said"),
    [
        ({"kind": "ensemble"}, "an ensemble of one"),
        ({"kind": "ensemble", "seeds": [3]}, "an ensemble of one"),
        ({"kind": "ensemble", "seeds": [3, 3]}, "`seeds` names one twice: 3, 3"),
        ({"kind": "ensemble", "models": ["gpt2"], "through": ["gpt2"]}, "leave `through` out"),
        ({"kind": "ensemble", "models": ["gpt-2"]}, "matrix.students.1.models.0: 'gpt-2' is not"),
        ({"kind": "ensemble", "models": ["mistral-7b"]}, "weaker than the strong model of no cell"),
        ({"kind": "refined", "through": ["gpt2"]}, "leave `through` out"),
    ],
)
def test_students_that_cannot_be_are_refused(student, said):
    with pytest.raises(UserError, match=re.escape(said)):
        loaded(changed("matrix.students", [DIRECT, {"name": "other"} | student]))

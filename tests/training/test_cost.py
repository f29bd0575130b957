"""What trainings ask of the machine, counted in operations: no clock, so no noise."""

from tests.shared.counting import Operations
from tests.shared.trainings import SETTINGS, metrics, train


def test_the_gradients_norm_is_computed_for_the_log_alone(base, pairs, tmp_path):
    """Steps of which every second is logged, none of them clipped."""
    settings = SETTINGS["simpo"] | {"epochs": 26}
    with Operations() as operations:
        record = train(tmp_path, base, pairs, settings)
    assert record["steps"] == 104
    logged = metrics(tmp_path)
    assert [line["step"] for line in logged] == list(range(2, 105, 2))
    assert all(line["grad_norm"] > 0 for line in logged)
    assert operations.count["aten._foreach_norm"] == len(logged)
    assert not any(name.startswith("aten._foreach_mul") for name in operations.count)

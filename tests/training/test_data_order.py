"""The order in which a training sees its examples."""

import numpy as np

from workflow_scripts.training import data_order


def test_each_epoch_is_a_permutation_in_batches_sorted_by_length():
    lengths = np.random.default_rng(0).integers(5, 50, 35)
    order = data_order.shuffled(lengths, batch_size=8, epochs=3, seed="a")
    assert order.shape == (12, 8)
    epochs = [set(order[i : i + 4].ravel()) for i in (0, 4, 8)]
    assert [len(epoch) for epoch in epochs] == [32] * 3
    assert epochs[0] != epochs[1]
    assert (np.diff(lengths[order], axis=1) >= 0).all()
    np.testing.assert_array_equal(
        order, data_order.shuffled(lengths, batch_size=8, epochs=3, seed="a")
    )
    assert (order != data_order.shuffled(lengths, batch_size=8, epochs=3, seed="b")).any()


def test_a_cut_epoch_draws_anew_from_all_examples():
    order = data_order.shuffled(np.ones(64, int), batch_size=8, epochs=16, seed="a", per_epoch=35)
    assert order.shape == (16 * 4, 8)
    assert all(len(set(epoch)) == 32 for epoch in order.reshape(16, 32))
    assert set(order.ravel()) == set(range(64))

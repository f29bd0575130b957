"""DeepSpeed's ZeRO: its settings, and what it shares out put together again.

The weights that it shares out are float32, the master weights themselves: matrix products run in
bfloat16 through autocast inside the model (``models/scorer.py``), with ZeRO as without it.
"""

import os
import socket
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from workflow_scripts.config.zero import BUCKET, LIVE
from workflow_scripts.runtime import ranks
from workflow_scripts.training.execution import Execution
from workflow_scripts.training.states import MOMENTS, WEIGHT

CHANGES_NO_RESULT = "how processes share weights and states; tests hold the result to be the same"


def configuration(execution: Execution, weights: int, on_gpu: bool) -> dict[str, Any] | None:
    """Return DeepSpeed's JSON for a model of so many weights, or None without ZeRO.

    Batch sizes are left to the Trainer ("auto"), and so is the optimizer, torch's Adam, on the
    host too: it is vectorised there and needs no compiler on the compute nodes.
    """
    if execution.zero == 0:
        return None
    bucket = min(BUCKET, weights)
    stage: dict[str, Any] = {
        "stage": execution.zero,
        "overlap_comm": on_gpu,
        "contiguous_gradients": True,
        "reduce_bucket_size": bucket,
    }
    if execution.zero == 2:
        stage["allgather_bucket_size"] = bucket
    else:
        stage["stage3_max_live_parameters"] = LIVE
        stage["stage3_prefetch_bucket_size"] = LIVE // 10
    if execution.offload:
        stage["offload_optimizer"] = {"device": "cpu", "pin_memory": on_gpu}
    return {
        "zero_optimization": stage,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": 0.0,
    }


def prepare(on_gpu: bool) -> None:
    """Make what DeepSpeed expects of the process it runs in; before the Trainer is made."""
    # Nothing is compiled here, but DeepSpeed would import torch's compiler, ten seconds of work.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    if "WORLD_SIZE" not in os.environ:
        _be_the_only_rank()
    if not on_gpu:
        _meet_on_cpu()


def _be_the_only_rank() -> None:
    """Set torch's launch variables, as nothing has launched ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def _meet_on_cpu() -> None:
    """Have the ranks meet over gloo, and accelerate believe in DeepSpeed without a GPU."""
    import deepspeed.ops
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    PartialState._reset_state()
    PartialState(cpu=True).distributed_type = DistributedType.DEEPSPEED
    # DeepSpeed's own way of adding on CPUs would be compiled here and now, which takes minutes.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


class TrainedWeights:
    """The weights of a model that are trained and Adam's moments of them, whole.

    Under ZeRO every method takes all ranks, at the same point of their work.
    """

    def __init__(self, model: nn.Module, optimizer: Any, stage: int) -> None:
        """Name the model, the Trainer's optimizer (as accelerate wraps it) and the ZeRO stage."""
        self._model = model
        self._optimizer = optimizer.optimizer
        self._stage = stage

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each weight and its moments, as ``kind/name`` and values."""
        self._link()
        for name, weight in self._model.named_parameters():
            if not weight.requires_grad:
                continue
            yield f"{WEIGHT}/{name}", self._whole(weight)
            for moment in MOMENTS:
                if (values := self._moment(weight, moment)) is not None:
                    yield f"{moment}/{name}", values

    def restore(self, steps: int, moments: Iterator[tuple[str, str, Tensor]]) -> None:
        """Put Adam where it was after so many steps."""
        weights = dict(self._model.named_parameters())
        if self._stage:
            self._begin(steps)
        for moment, name, values in moments:
            weight = weights[name]
            match self._stage:
                case 0:
                    state = self._optimizer.state[weight]
                    state["step"] = _counter(steps, weight)
                    state[moment] = values.to(weight.device)
                case 2:
                    from deepspeed.utils import safe_set_full_optimizer_state

                    safe_set_full_optimizer_state(weight, values.to(weight.device), moment)
                case _:
                    from deepspeed.utils import safe_set_local_optimizer_state

                    share = _share(values, weight.ds_tensor.numel())  # pyright: ignore
                    safe_set_local_optimizer_state(weight, share, moment)

    def gather(self) -> None:
        """Have the first rank's model hold its weights whole, in the host's memory."""
        for weight in self._model.parameters():
            whole = self._whole(weight)
            if ranks.is_first():
                weight.data = whole.detach().to("cpu", copy=True)

    def _whole(self, weight: Tensor) -> Tensor:
        if self._stage == 3:
            from deepspeed.utils import safe_get_full_fp32_param

            whole = safe_get_full_fp32_param(weight)
            assert whole is not None, "every weight is trained"
            return whole
        return weight.data

    def _moment(self, weight: Tensor, moment: str) -> Tensor | None:
        if self._stage == 0:
            # A weight that never had a gradient has no moments.
            return self._optimizer.state.get(weight, {}).get(moment)
        from deepspeed.utils import safe_get_full_optimizer_state

        return safe_get_full_optimizer_state(weight, moment)

    def _begin(self, steps: int) -> None:
        """Give Adam the empty moments that it else makes at its first step under ZeRO."""
        zero = self._optimizer
        shares = (
            zero.single_partition_of_fp32_groups
            if self._stage == 2
            else zero.fp32_partitioned_groups_flat
        )
        for share in shares:
            state = zero.optimizer.state[share]
            state["step"] = _counter(steps, share)
            for moment in MOMENTS:
                state[moment] = torch.zeros_like(share.data)
        self._link()

    def _link(self) -> None:
        """Tell ZeRO-2 where the moments are: by itself it only finds the first group's."""
        if self._stage == 2:
            self._optimizer._hp_optimizer_states_linked = False
            self._optimizer._lazy_init_hp_params_optimizer_state()


def _counter(steps: int, weight: Tensor) -> Tensor:
    """Return Adam's count of steps as its fused form keeps it."""
    return torch.tensor(float(steps), dtype=torch.float32, device=weight.device)


def _share(values: Tensor, size: int) -> Tensor:
    """Return this rank's share of a tensor under ZeRO-3: of equal sizes, the last ones padded."""
    flat = values.flatten()
    share = flat.new_zeros(size)
    mine = flat[ranks.number() * size :][:size]
    share[: len(mine)] = mine
    return share

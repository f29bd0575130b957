"""What ``config.yaml`` may say of trainings: scenarios, SFT, Adam, the reference's quirks."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from workflow_scripts.config.section import Settings, Share

CHANGES_NO_RESULT = "checks the configuration, whose values are in the rules' slices"

Quirk = Literal["fixed", "reference"]


class Optimisation(Settings):
    """How long and how fast a stage trains."""

    epochs: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["cosine", "constant"]
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


class RewardModel(Optimisation):
    """A reward head on a language model; with ``linear_probe`` the head alone is trained."""

    linear_probe: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Nobody's settings, and so nobody's finished runs, know of a probe that is not asked for.
        settings = as_usual(self)
        if not self.linear_probe:
            del settings["linear_probe"]
        return settings


class Simpo(Optimisation):
    """SimPO: ``-log sigmoid(beta z - gamma)`` on length-normalised log-probabilities."""

    beta: PositiveFloat
    gamma: Annotated[float, Field(ge=0)]


class Dpo(Optimisation):
    """DPO: ``-log sigmoid(beta z)`` on log-probabilities relative to the SFT model."""

    beta: PositiveFloat


class Scenarios(Settings):
    """The three ways in which a preference is learned and read out."""

    reward_model: RewardModel
    simpo: Simpo
    dpo: Dpo


class Adam(Settings):
    """Adam without weight decay."""

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: PositiveFloat = 1e-8


class Training(Settings):
    """What every fine-tuning shares."""

    batch_size: PositiveInt = 32
    max_length: Annotated[int, Field(ge=8)] = 512
    data_order: Literal["shuffled", "file"] = "shuffled"
    adam: Adam = Adam()


class Compat(Settings):
    """Quirks of the reference that change results, each mended or kept (docs/method.md).

    Attributes:
        reward_pooling: where the reward is read: at the last token, or at the count of tokens that
            are not 0.
        dpo_weak_labels: DPO's margin when it labels and predicts: relative to the reference model,
            or the policy's alone.
        explicit_trigger: DPO's margin in the explicit conflict's trigger, likewise.
        filter_peek: whether the high-confidence filter drops wrong labels too (`reference` does).
        bos_in_response: whether BOS stands before the response as before the prompt (likewise).
        implicit_steps: whether `implicit_matched` doubles the steps as `implicit` does (likewise).
    """

    reward_pooling: Quirk = "fixed"
    dpo_weak_labels: Quirk = "fixed"
    explicit_trigger: Quirk = "fixed"
    filter_peek: Quirk = "fixed"
    bos_in_response: Quirk = "fixed"
    implicit_steps: Quirk = "fixed"

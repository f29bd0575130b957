"""Where the authors' published code departs from the paper: a switch for each departure."""

from typing import Literal

from workflow_scripts.core.section import Settings

CHANGES_NO_RESULT = "its values are in the rules' slices"

Quirk = Literal["fixed", "reference"]
"""As the paper has it, or as the authors' code does."""


class Compat(Settings):
    """Departures of the authors' code that change results, each fixed or kept (docs/method.md).

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

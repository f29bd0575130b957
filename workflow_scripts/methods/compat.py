"""Where the authors' published code departs from the paper: a switch for each departure."""

from typing import Literal

from workflow_scripts.core.section import Settings

CHANGES_NO_RESULT = "its values are in the rules' slices"

Quirk = Literal["fixed", "reference"]
"""As the paper has it, or as the authors' code does."""


class Compat(Settings):
    """Departures of the authors' code that change results, each fixed or kept (docs/method.md)."""

    reward_pooling: Quirk = "fixed"
    """Reward read at the last token; reference: at the count of tokens that are not 0."""
    dpo_weak_labels: Quirk = "fixed"
    """DPO labels and predicts by policy minus reference model; reference: by the policy alone."""
    explicit_trigger: Quirk = "fixed"
    """The same choice of margin, for DPO's trigger of the explicit conflict."""
    filter_peek: Quirk = "fixed"
    """The high-confidence filter looks at labels alone; reference: it drops wrong labels too."""
    bos_in_response: Quirk = "fixed"
    """BOS before the prompt alone; reference: before the response too."""
    implicit_steps: Quirk = "fixed"
    """`implicit_matched` takes the steps of `none`; reference: twice as many."""
    filter_scale: Quirk = "fixed"
    """The high-confidence filter in DPO takes sigmoid(beta z); reference: sigmoid(z / 50)."""
    filter_helpful: Quirk = "fixed"
    """Of the helpful pairs the first are kept; reference: those at the filtered positions."""
    head_init: Quirk = "fixed"
    """A reward head is drawn from the model's normal distribution; reference: as torch's Linear."""
    sft_divisor: Quirk = "fixed"
    """SFT's mean is over the tokens that are scored; reference: over all of the response."""
    precision: Quirk = "fixed"
    """A GPU that has bfloat16 multiplies in it; reference: in float32, as everywhere else."""
    screening: Quirk = "fixed"
    """Repeats, and pairs whose responses are blank or equal, are dropped; reference: kept."""


SILENT_WHERE_FIXED = frozenset(
    {"filter_scale", "filter_helpful", "head_init", "sft_divisor", "precision", "screening"}
)
"""Not in settings where they are fixed, so that those of earlier trainings are what they were."""

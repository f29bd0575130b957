"""A chat model gets its prompts in its own template, where its entry asks for that."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tests.shared.base_models import FAMILIES, save_base
from tests.shared.stages import run_stage
from tests.shared.trainings import COMMON, SETTINGS, train, write_pairs
from workflow_scripts.core.errors import UserError
from workflow_scripts.models import checkpoints
from workflow_scripts.models.tokenise import tokenise

END = "<|endoftext|>"
TEMPLATE = (
    "{% for turn in messages %}"
    "{% if turn.role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
    "[{{ turn.role }}] {{ turn.content | trim }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)


def chat_model(folder: Path, template: str | None = TEMPLATE) -> Path:
    save_base(folder, FAMILIES["gpt2"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def take_in(folder: Path, **settings: object) -> Path:
    given = {"id": None, "revision": None, "path": str(folder), "pickled_weights": False}
    taken = folder.with_name("taken")
    run_stage(
        "base_model",
        *("--settings", json.dumps(given | settings), "--folder", folder, "--output", taken),
    )
    return taken


def texts(tokenizer: PreTrainedTokenizerBase, prompt: str, response: str) -> tuple[str, str]:
    """Return prompt and response as a model gets them, with ``<END>`` for the control token."""
    cut = tokenise(tokenizer, ["x"], [prompt], [[response], ["no"]], 512)
    tokens = ["<END>" if token == 0 else str(tokenizer.decode([token])) for token in cut.tokens]
    start = cut.response_starts[0]
    return "".join(tokens[:start]), "".join(tokens[start : cut.lengths[0]])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("\n\nHuman: Hi?\n\nAssistant:", "[user] Hi?<END>\n[assistant] "),
        (
            "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: A tree?\n\nAssistant:",
            "[user] Hi<END>\n[assistant] Hello<END>\n[user] A tree?<END>\n[assistant] ",
        ),
        # No dialogue as HH-RLHF writes it: one turn of the user.
        ("What is it", "[user] What is it<END>\n[assistant] "),
        # In the text of a turn a control token's spelling is text.
        (f"\n\nHuman: {END}\n\nAssistant:", f"[user] {END}<END>\n[assistant] "),
    ],
)
def test_prompts_are_in_the_template_and_responses_follow_it(
    prompt: str, expected: str, tmp_path: Path
):
    taken = take_in(chat_model(tmp_path / "mine"), chat=True)
    tokenizer = checkpoints.load_tokenizer(taken)
    assert texts(tokenizer, prompt, " Yes.") == (expected, "Yes.")


def test_without_being_asked_for_a_template_is_not_used_but_travels(tmp_path: Path):
    taken = take_in(chat_model(tmp_path / "mine"))
    tokenizer = checkpoints.load_tokenizer(taken)
    prompt = "\n\nHuman: Hi?\n\nAssistant:"
    assert texts(tokenizer, prompt, " Yes.") == (prompt, " Yes.")
    assert tokenizer.chat_template == TEMPLATE


def test_a_checkpoint_reads_texts_as_its_training_did(tmp_path: Path):
    taken = take_in(chat_model(tmp_path / "mine"), chat=True)
    pairs = write_pairs(tmp_path / "pairs.parquet", 8)
    train(tmp_path / "trained", taken, pairs, COMMON | SETTINGS["sft"])
    tokenizer = checkpoints.load_tokenizer(tmp_path / "trained/checkpoint")
    assert texts(tokenizer, "Q", "A") == ("[user] Q<END>\n[assistant] ", "A")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "chat: the model has no chat template; leave `chat` out"),
        ("{{ raise_exception('never') }}", "does not take a dialogue of user (never)"),
        ("{{ 1 + 'a' }}", "does not take a dialogue of user (unsupported operand"),
        ("{{ cycler.__init__.__globals__ }}", "does not take a dialogue of user (access to"),
        ("Always the same.", "its chat template leaves out a turn of user; leave `chat` out"),
    ],
)
def test_a_model_without_a_usable_template_is_refused(
    template: str | None, message: str, tmp_path: Path
):
    folder = chat_model(tmp_path / "mine", template)
    with pytest.raises(UserError) as refused:
        take_in(folder, chat=True)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{folder}: ")
    assert message in line


def test_a_dialogue_that_the_template_does_not_take_is_said(tmp_path: Path):
    taken = take_in(chat_model(tmp_path / "mine"), chat=True)
    tokenizer = checkpoints.load_tokenizer(taken)
    with pytest.raises(UserError, match=r"does not take a dialogue of system, user \(no system"):
        texts(tokenizer, "Be brief.\n\nHuman: Hi\n\nAssistant:", " Yes.")

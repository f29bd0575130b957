"""Prompts in a chat model's own template, where its entry asks for that (`chat: true`).

That is written to the tokenizer's configuration when the model is taken in, so that every later
stage, whose checkpoints keep it, gives the model the same texts.
"""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from workflow_scripts.core.errors import UserError, first_line
from workflow_scripts.data.dialogues import turns_of

USED = "texts_by_chat_template"
"""The key of tokenizer_config.json that is true where prompts are given in the model's template."""
_MARK = "w2sTurn{}w2s"
"""Stands for the text of a turn while the template is filled in."""


def use(tokenizer: PreTrainedTokenizerBase, folder: Path, origin: str) -> None:
    """Have a model's texts be given in its own template from now on.

    Args:
        tokenizer: the model's.
        folder: the model's, in the hub's format.
        origin: what messages call the model.

    Raises:
        UserError: if it has no template, or one that does not take a question.
    """
    if not tokenizer.chat_template:
        raise UserError(f"{origin}: chat: the model has no chat template; leave `chat` out")
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {USED: True}
    try:
        pieces(tokenizer, "What?")
    except UserError as error:
        raise UserError(str(error).replace(tokenizer.name_or_path, origin)) from error
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def is_used(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether prompts are given in the template."""
    return bool(tokenizer.init_kwargs.get(USED))


def pieces(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[tuple[str, bool]]:
    """Return a prompt in the template, up to where the response begins, cut into pieces.

    Args:
        tokenizer: of a chat model.
        prompt: as the sets have it: dialogues as HH-RLHF writes them, or plain text.

    Returns:
        pieces of text, and whether each is the template's, in which control tokens are spelled;
        in the text of a turn they are text.

    Raises:
        UserError: if the template does not take the dialogue.
    """
    turns = turns_of(prompt)
    marks = [_MARK.format(number) for number in range(len(turns))]
    messages = [
        {"role": role, "content": mark} for (role, _), mark in zip(turns, marks, strict=True)
    ]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        # A template raises jinja's own exceptions, and whatever its expressions do.
        raise UserError(
            f"{tokenizer.name_or_path}: its chat template does not take a dialogue of "
            f"{', '.join(role for role, _ in turns)} ({first_line(error)}); leave `chat` out"
        ) from error
    found: list[tuple[str, bool]] = []
    rest = str(text)
    for mark, (role, said) in zip(marks, turns, strict=True):
        before, there, rest = rest.partition(mark)
        if not there:
            raise UserError(
                f"{tokenizer.name_or_path}: its chat template leaves out a turn of {role}; leave "
                "`chat` out"
            )
        found += [(before, True), (said, False)]
    return [piece for piece in [*found, (rest, True)] if piece[0]]

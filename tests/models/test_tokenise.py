"""Prompt and response to tokens: special tokens, truncation, and tokenizers that know nothing."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from workflow_scripts.core.errors import UserError
from workflow_scripts.models.corpus_tokenizer import END_OF_TEXT, packed, trained
from workflow_scripts.models.tokenise import members, tokenise

BOS, EOS = "<s>", "</s>"


def byte_tokenizer(template=None):
    """One token a byte, as GPT-2's without merges: no padding token, nothing added."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([BOS, EOS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BOS, EOS])
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[(BOS, 0), (EOS, 1)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS)


SPELLINGS = ("<s>", "</s>", "<|endoftext|>", "<pad>", "[SEP]")
SENTENCES = ["what ends a text? it is written < | endoftext > [ SEP ] / s pad there."] * 20


def family_tokenizer(family):
    """Return a tokenizer built as the family's are, with every spelling as a special token."""
    unknown = {"unk_token": "<unk>"} if family != "byte-level BPE" else {}
    special = {"special_tokens": ["<unk>", *SPELLINGS], "show_progress": False}
    match family:
        case "byte-level BPE":  # GPT-2, OPT, GPT-NeoX, Qwen2, Llama 3
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, **special)
        case "BPE with byte fallback":  # Llama 2, Mistral, Gemma
            tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.BpeTrainer(vocab_size=200, **special)
        case "WordPiece":  # BERT
            tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            tokenizer.decoder = decoders.WordPiece()
            trainer = trainers.WordPieceTrainer(vocab_size=200, **special)
        case "Unigram":  # T5, ALBERT
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", **special)
        case _:
            raise ValueError(family)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=list(SPELLINGS),
        eos_token="</s>",
        **unknown,
    )


def spell(tokenizer, sequences):
    """Return each sequence's prompt and response as text."""
    texts = []
    for row in range(len(sequences)):
        batch = sequences.padded(np.array([[row]]))
        tokens, response = batch["input_ids"][0], batch["response_mask"][0]
        texts.append((tokenizer.decode(tokens[~response]), tokenizer.decode(tokens[response])))
    return texts


@pytest.mark.parametrize(
    ("template", "prompt"), [(None, "abc"), ("<s> $A", "<s>abc"), ("<s> $A </s>", "<s>abc")]
)
def test_special_tokens_stand_before_the_prompt_and_nowhere_else(template, prompt):
    tokenizer = byte_tokenizer(template)
    sequences = tokenise(tokenizer, ["x"], ["abc"], [["defg"], ["hi"]], max_length=512)
    assert spell(tokenizer, sequences) == [(prompt, "defg"), (prompt, "hi")]


@pytest.mark.parametrize("family", ["byte-level BPE", "BPE with byte fallback", "WordPiece"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_spelling_of_a_special_token_in_a_text_is_text(family, spelling):
    tokenizer = family_tokenizer(family)
    control = tokenizer.convert_tokens_to_ids(spelling)
    assert tokenizer(spelling, add_special_tokens=False)["input_ids"] == [control]
    response = f"it is written {spelling} there."
    sequences = tokenise(tokenizer, ["x"], [f"what {spelling} ends"], [[response]], 512)
    assert not np.isin(sequences.tokens, tokenizer.all_special_ids).any()
    [(_, text)] = spell(tokenizer, sequences)
    assert "".join(text.split()).casefold() == "".join(response.split()).casefold()


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_document_that_spells_the_end_of_text_ends_once(kind):
    texts = [f"the end is {END_OF_TEXT} here"]
    tokenizer = trained(texts, kind, 300)
    tokens = packed(tokenizer, texts)
    assert np.flatnonzero(tokens == tokenizer.token_to_id(END_OF_TEXT)).tolist() == [
        len(tokens) - 1
    ]


def test_a_vocabulary_that_holds_a_control_token_as_text_is_refused_with_the_pair():
    tokenizer = family_tokenizer("Unigram")
    plain = tokenise(tokenizer, ["x"], ["what ends"], [["a text"]], 512)
    assert not np.isin(plain.tokens, tokenizer.all_special_ids).any()
    with pytest.raises(UserError, match=r"pair x: .* turns text into its control token </s>; drop"):
        tokenise(tokenizer, ["x"], ["what ends"], [["</s>"]], 512)


@pytest.mark.parametrize(
    ("template", "max_length", "prompt", "response"),
    [
        (None, 512, "abc", "defg"),  # GPT-2: nothing to put
        ("<s> $A", 512, "<s>abc", "<s>defg"),
        ("<s> $A </s>", 512, "<s>abc", "<s>defg"),
        ("<s> $A", 6, "c", "<s>defg"),  # it counts as a response token
    ],
)
def test_bos_stands_and_is_scored_in_the_response_as_well_where_asked(
    template, max_length, prompt, response
):
    tokenizer = byte_tokenizer(template)
    sequences = tokenise(tokenizer, ["x"], ["abc"], [["defg"]], max_length, bos_in_response=True)
    assert spell(tokenizer, sequences) == [(prompt, response)]


@pytest.mark.parametrize(
    ("max_length", "prompt", "response"),
    [
        (9, "<s>abc", "wxyz!"),
        (8, "abc", "wxyz!"),  # the start of the text goes first
        (6, "c", "wxyz!"),
        (5, "w", "xyz!"),  # the prompt is gone: nothing predicts "w"
        (4, "x", "yz!"),  # only now does the response lose tokens
        (2, "z", "!"),
    ],
)
def test_truncation_takes_the_prompt_from_its_left_and_then_the_response(
    max_length, prompt, response
):
    tokenizer = byte_tokenizer("<s> $A")
    sequences = tokenise(tokenizer, ["x"], ["abc"], [["wxyz!"]], max_length)
    assert spell(tokenizer, sequences) == [(prompt, response)]


def test_padding_is_on_the_right_and_never_part_of_the_response():
    tokenizer = byte_tokenizer()
    sequences = tokenise(tokenizer, ["x", "y"], ["ab", "a"], [["c", "bcde"], ["f", "g"]], 512)
    assert sequences.lengths.tolist() == [3, 5, 3, 2]
    batch = sequences.padded(np.array([[0], [1], [3]]))
    assert batch["last"].tolist() == [[2], [4], [1]]
    assert batch["response_mask"].int().tolist() == [
        [0, 0, 1, 0, 0],
        [0, 1, 1, 1, 1],
        [0, 1, 0, 0, 0],
    ]


def test_the_texts_of_a_pair_are_one_row_with_their_prompt_once():
    sequences = tokenise(byte_tokenizer(), ["x", "y"], ["ab", "a"], [["c", "bcde"], ["fg", "g"]], 8)
    rows = members(4, 2)
    batch = {name: tensor.int().tolist() for name, tensor in sequences.padded(rows).items()}
    assert sequences.row_lengths(rows).tolist() == [5, 7]
    # ab|c|fg, and abcde|ag: a prompt of one token is not worth it.
    assert batch["part"] == [[0, 0, 1, 2, 2, -1, -1], [1, 1, 1, 1, 1, 2, 2]]
    assert [of_row[:5] for of_row in batch["position_ids"]] == [[0, 1, 2, 2, 3], [0, 1, 2, 3, 4]]
    assert batch["position_ids"][1][5:] == [0, 1]
    assert batch["response_mask"] == [[0, 0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0, 1]]
    assert batch["last"] == [[2, 4], [4, 6]]


def test_a_response_without_a_token_to_score_names_its_pair():
    with pytest.raises(UserError, match="pair weak-000007"):
        tokenise(byte_tokenizer(), ["x", "weak-000007"], ["a", "b"], [["c", ""]], 512)
    with pytest.raises(UserError, match="max_length 1"):
        tokenise(byte_tokenizer(), ["x"], ["a"], [["bc"]], max_length=1)


def test_a_tokenizer_that_silently_knows_one_token_is_refused():
    empty = Tokenizer(models.BPE())
    empty.add_special_tokens([EOS])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=empty, eos_token=EOS)
    with pytest.raises(UserError, match="the tokenizer, of 1 tokens"):
        tokenise(tokenizer, ["x"], ["How do I"], [["Like this."]], 512)


def test_a_word_tokenizer_may_meet_some_unknown_words_but_not_mostly():
    words = Tokenizer(models.WordLevel({"<u>": 0, "keep": 1, "away": 2}, unk_token="<u>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<u>")
    assert len(tokenise(tokenizer, ["x"], ["keep"], [["keep away now"]], 512)) == 1
    with pytest.raises(UserError, match="files are incomplete"):
        tokenise(tokenizer, ["x"], ["keep"], [["stay clear"]], 512)

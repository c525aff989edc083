"""Golden files of tokenisation, made with Hugging Face tokenizers.

Each case is a tokenizer.json in the style of a published family, trained here on lines that
`line()` makes, and what the reference library does with 100,000 such lines: hashes per block of
1,000 lines, and some lines in full. The C++ test makes the same lines from the same atoms.
"""

from __future__ import annotations

import json
import pathlib
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

import tokenizer_atoms

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "text"
LINES = 100_000
BLOCK = 1_000
SHOWN = 40
MASK = (1 << 64) - 1


def splitmix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def line(atoms: list[list[str]], number: int) -> str:
    """Line `number`: up to 12 atoms, each from a group of atoms, with or without a space between."""
    state = splitmix(number)
    text = []
    for _ in range(1 + state % 12):
        state = splitmix(state)
        group = atoms[state % len(atoms)]
        text.append(group[(state >> 20) % len(group)])
        if (state >> 56) % 3 == 0:
            text.append(" ")
    return "".join(text)


def fnv(data: bytes, value: int) -> int:
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(prefix: bool = False, regex: bool = True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def sequence(*steps):
    return pre_tokenizers.Sequence(list(steps))


def split(pattern, behavior: str, invert: bool = False):
    return pre_tokenizers.Split(pattern, behavior, invert)


def make(pre_tokenizer, lines, vocab=1500, special=("<|endoftext|>",), alphabet=True,
         normalizer=None, **model) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def with_model(tokenizer: Tokenizer, change) -> Tokenizer:
    """The same tokenizer with its file edited: some options have no setter."""
    file = json.loads(tokenizer.to_str())
    change(file)
    return Tokenizer.from_str(json.dumps(file))


def cases(lines: list[str]) -> dict[str, tuple[str, Tokenizer]]:
    smollm = make(
        sequence(pre_tokenizers.Digits(individual_digits=True), byte_level()),
        lines,
        special=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"],
    )
    gpt2 = make(byte_level(), lines)
    prefix = make(byte_level(prefix=True), lines)
    llama3 = make(
        sequence(split(Regex(LLAMA3), "isolated"), byte_level(regex=False)),
        lines,
        special=["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
    )
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A",
            pair="<|begin_of_text|> $A <|begin_of_text|> $B:1",
            special_tokens=[("<|begin_of_text|>", llama3.token_to_id("<|begin_of_text|>"))],
        ),
    ])

    def ignore_merges(file):
        file["model"]["ignore_merges"] = True
        # Words that no merge reaches, and merges as pairs, as Llama 3's file has them.
        for word in ["Ġunreachable", "ĠпÑĢÐ¸Ð²ÐµÑĤ", "ËĪzzz"]:
            file["model"]["vocab"].setdefault(word, len(file["model"]["vocab"]))

    llama3 = with_model(llama3, ignore_merges)
    qwen = make(
        sequence(split(Regex(QWEN2), "isolated"), byte_level(regex=False)),
        lines,
        normalizer=normalizers.NFC(),
        special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )
    qwen.add_tokens([
        AddedToken("<tool_call>", special=False, normalized=False),
        AddedToken("<think>", special=False, normalized=True),
        AddedToken("Straße", special=False, normalized=True),
        AddedToken("re\u0301sume\u0301", special=False, normalized=True),
        AddedToken("whole", special=False, normalized=False, single_word=True),
        AddedToken("[L]", special=False, normalized=False, lstrip=True),
        AddedToken("[R]", special=False, normalized=False, rstrip=True),
        AddedToken("[LR]", special=True, normalized=False, lstrip=True, rstrip=True),
        AddedToken("[LRX", special=True, normalized=False),
        AddedToken("    ", special=False, normalized=False),
    ])
    missing = make(
        sequence(pre_tokenizers.Digits(individual_digits=False), byte_level()),
        [text.encode("ascii", "ignore").decode() for text in lines],
        alphabet=False,
        vocab=600,
    )
    pieces = make(
        sequence(
            split("e", "merged_with_previous"),
            split(Regex(r"\s"), "merged_with_next"),
            split(Regex(r"[aou]|\d"), "contiguous"),
            split(Regex(r"\w+"), "isolated", invert=True),
            split("-", "removed"),
            byte_level(regex=False),
        ),
        lines,
        special=["<unk>"],
        alphabet=False,
        vocab=700,
        unk_token="<unk>",
        fuse_unk=True,
    )

    def drop_bytes(file):
        """Takes a few byte tokens out, so that unk stands in for them."""
        model = file["model"]
        gone = {"Ł", "ł", "Ń", "Ċ", "Ð", "q"}
        keep = [t for t in model["vocab"] if not (t != "<unk>" and set(t) & gone)]
        keep.sort(key=lambda t: model["vocab"][t])
        model["vocab"] = {token: i for i, token in enumerate(keep)}
        model["merges"] = [m for m in model["merges"]
                           if not set("".join(m if isinstance(m, list) else m.split(" "))) & gone]

    pieces = with_model(pieces, drop_bytes)
    return {
        "smollm": ("digits one by one, then GPT-2's pattern; SmolLM2 and Ouro", smollm),
        "gpt2": ("GPT-2's pattern alone", gpt2),
        "prefix": ("a space before every text", prefix),
        "llama3": ("a pattern of its own, ignore_merges, begin-of-text by template", llama3),
        "qwen": ("NFC, and added tokens of every kind", qwen),
        "missing": ("no token for most bytes: they are left out", missing),
        "pieces": ("every split behaviour, unknown token fused", pieces),
    }


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable characters for bytes (openai/gpt-2, encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(hidden)}


class Decoder:
    """The library's decode, but for added tokens, which are found in the text before it is turned
    into the byte alphabet and so stand for themselves. The library reads their letters as that
    alphabet too: "\u00e9" of an added token comes out as a broken byte. llama.cpp gives the letter."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        alphabet = byte_alphabet()
        self.bytes, self.special, self.letters = {}, set(), set()
        for token, i in tokenizer.get_vocab(with_added_tokens=False).items():
            known = all(c in alphabet for c in token)
            self.bytes[i] = bytes(alphabet[c] for c in token) if known else token.encode()
        for i, added in tokenizer.get_added_tokens_decoder().items():
            text = tokenizer.id_to_token(i)
            self.bytes[i] = text.encode()
            if added.special:
                self.special.add(i)
            if not text.isascii():
                self.letters.add(i)

    def decode(self, ids: list[int], skip_special: bool) -> str:
        kept = [i for i in ids if not (skip_special and i in self.special)]
        text = b"".join(self.bytes[i] for i in kept).decode("utf-8", errors="replace")
        if not self.letters.intersection(kept):
            assert text == self.tokenizer.decode(ids, skip_special_tokens=skip_special)
        return text


def expected(tokenizer: Tokenizer, atoms, special: bool) -> dict:
    decoder = Decoder(tokenizer)
    ids_hashes, text_hashes, tokens, shown = [], [], 0, []
    for first in range(0, LINES, BLOCK):
        texts = [line(atoms, n) for n in range(first, first + BLOCK)]
        ids_hash = text_hash = 0xCBF29CE484222325
        encodings = tokenizer.encode_batch(texts, add_special_tokens=special)
        decoded = [decoder.decode(e.ids, special) for e in encodings]
        for number, (encoding, text) in enumerate(zip(encodings, decoded), first):
            packed = b"".join(i.to_bytes(4, "little") for i in [*encoding.ids, 0xFFFFFFFF])
            ids_hash = fnv(packed, ids_hash)
            text_hash = fnv(text.encode() + b"\xff", text_hash)
            tokens += len(encoding.ids)
            if number < SHOWN:
                shown.append({"text": texts[number - first], "ids": encoding.ids, "decoded": text})
        ids_hashes.append(f"{ids_hash:016x}")
        text_hashes.append(f"{text_hash:016x}")
    return {"tokens": tokens, "ids": ids_hashes, "decoded": text_hashes, "shown": shown}


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    atoms = tokenizer_atoms.groups(random.Random(1), unicodedata)
    (GOLDEN / "atoms.json").write_text(json.dumps(atoms, ensure_ascii=True, indent=0) + "\n")
    training = [line(atoms, n) for n in range(LINES, LINES + 20_000)]
    for name, (why, tokenizer) in cases(training).items():
        directory = GOLDEN / name
        directory.mkdir(exist_ok=True)
        (directory / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n")
        golden = {"why": why, "lines": LINES, "block": BLOCK}
        golden["plain"] = expected(tokenizer, atoms, special=False)
        golden["special"] = expected(tokenizer, atoms, special=True)
        (directory / "case.json").write_text(json.dumps(golden, ensure_ascii=True) + "\n")
        print(f"{name}: {golden['plain']['tokens']} tokens in {LINES} lines")


if __name__ == "__main__":
    main()

"""Pieces of text that tokenisers trip over, in groups. Written for this project."""

from __future__ import annotations

PROSE = """
The lamp went out again, and nobody in the house could say why.
She'd said they're late; I'm sure we've met, haven't we? He'll know what's true, I'd bet.
DON'T SHOUT, IT'S RUDE! You'RE, I'LL, we'Ve, it'ſ odd
In the beginning there was a word, and before the word a pause.
Prices rose 3.75% to $1,234,567.89 on 2024-02-29 at 07:05:09.
"Quoted," she said—well, almost—“curly” and ‘single’ … done.
unreachable resume whole wholesome a whole, (whole) whole.
co-operate re-entry e-mail x-y-z naïve café façade Ångström Straße
""".strip().split("\n")

CODE = r"""
for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }
	if x is not None and y != 0:  # comment
    return {"key": [1, 2, 3], 'other': f"{value:>10.3f}"}
#include <vector>
template <typename T> auto f(T&& t) -> decltype(t->g());
SELECT * FROM users WHERE name LIKE '%o''brien%';
<div class="a b" id='c'>&nbsp;&lt;/div&gt;</div>
$ git commit -m "fix: it's" && echo $? | tee /dev/null
0xDEADBEEF 1e-9 3.14f 0b1010 1_000_000 --flag=value /usr/local/lib/python3.11
\begin{equation} \frac{a}{b} \end{equation} \n\t\\
""".strip("\n").split("\n")

SCRIPTS = [
    "Η γρήγορη αλεπού πηδάει", "привет, как дела? Ёлка", "שלום עולם בוקר טוב", "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया १२३", "สวัสดีชาวโลก", "今天天气很好，我们去公园吧。", "こんにちは、世界。カタカナ", "안녕하세요 세계",
    "Tiếng Việt có dấu", "Grüße aus Köln, Fußgängerüberführung", "ქართული ენა", "አማርኛ", "ၾကာၿမန္မာ",
    "Ελλάδα ΑΒΓ ς", "İstanbul ığüşöç", "ﬁne ﬂow ﬀ", "Ⅳ ½ ² ₃ ① ㊿ ٣ 〇", "ǅ ǈ ʰ ª º", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𐍈 𠜎",
]

COMBINING = [
    "re\u0301sume\u0301", "résumé", "A\u030a", "\u212b", "\u1e9b\u0323", "q\u0307\u0323", "\uac00\u11a8", "한",
    "\u0958", "\u2126", "e\u0301\u0301", "\u0344", "a\u0328\u0301", "\u0301 alone", "ñ n\u0303",
]

EMOJI = [
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☃", "1️⃣", "🤷🏿‍♂️", "🧑‍💻 code", "…", "™️", "✨✨✨✨✨✨✨✨",
]

CONTROL = [chr(c) for c in range(32)] + [
    "\x7f", "\x80", "\x9f", "\u200b", "\u200d", "\u2060", "\ufeff", "\u061c", "\u202e", "\ufffd", "\ufffe", "\uffff",
    "\U0010ffff", "\ue000", "\U000e0041", "\x00\x00", "\x1b[31mred\x1b[0m",
]

SPACE = [" " * n for n in (1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 33, 64, 200)] + [
    "\n", "\n\n", "\n\n\n\n", "\r\n", "\r", "\t", "\t\t\t", " \n ", "\n \n", "  \t \n\n  ", "\x0b", "\x0c", "\x85", "\xa0",
    "\xa0\xa0", "\u1680", "\u180e", " \u180e ", "\u2000\u2001", "\u2009", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
    "\u3000\u3000x", " \xa0 ", "\n" * 40, "\t" * 50, " a", "a ", "  a  b  ",
]

SPECIAL = [
    "<|endoftext|>", "<|im_start|>user\n", "<|im_end|>", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>",
    " <|endoftext|> ", "<|endoftext|", "<|endoftext|><|endoftext|>", "<repo_name>", "<tool_call>", "<think>", "<unk>",
    "[L]", "  [L]", "[R]  ", " [R] [L] ", "[LR]", "\n[LR]\n", "[LRX", "[LRX]", "Straße", "whole", "_whole", "whole1",
]

LONG = [
    "a" * 100, "ab" * 60, "abcdefghijklmnopqrstuvwxyz" * 4, "0123456789" * 9, "=" * 80, "-" * 33, ".,;:!?" * 12, "é" * 50,
    "漢字" * 30, "😀" * 40, "the" * 40, "Pneumonoultramicroscopicsilicovolcanoconiosis",
]

NUMBERS = ["0", "7", "42", "007", "1999", "123456789", "3.14159", "1,000", "-5", "+1", "1/2", "100%", "₹500", "№5", "5G", "x86_64"]

PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["...", "?!", "--", "''", "'", "' s", "'S", "''s", "»«", "、。", "—"]


def words() -> list[str]:
    return sorted({word for text in PROSE for word in text.split()})


def characters(rng, unicodedata) -> list[str]:
    """Random characters that have been in Unicode for long (version 3.2), whatever their category."""
    old = unicodedata.ucd_3_2_0
    found = []
    while len(found) < 3000:
        c = chr(rng.randrange(0x30000))
        if old.category(c) not in ("Cn", "Cs", "Co") and unicodedata.category(c) != "Cn":
            found.append(c)
    return found


def groups(rng, unicodedata) -> list[list[str]]:
    rare = characters(rng, unicodedata)
    return [
        PROSE, words(), [" " + word for word in words()], [word + " " for word in words()], CODE, SCRIPTS, COMBINING,
        EMOJI, CONTROL, SPACE, SPACE[:4], SPECIAL, LONG, NUMBERS, PUNCTUATION, rare,
    ]

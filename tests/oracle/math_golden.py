"""Golden file of answers in mathematics, held against Hugging Face's Math-Verify.

math_pairs.txt lists pairs of answers, equal and unequal; Math-Verify says which are the same. Where
looplm is meant to say something else, the pair's reason stands there and goes into the file. The
outputs below are whole texts of models, whose boxes must be found first.
"""

from __future__ import annotations

import json
import logging
import pathlib

from math_verify import parse, verify

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "eval" / "math_answers.json"

# Output of a model, right answer; where looplm differs, its word and why.
OUTPUTS = [
    (r"The answer is \boxed{7}. I marked it with \boxed as asked.", "7"),
    (r"The answer is \boxed{7}. I marked it with \boxed as asked.", "8"),
    (r"So $x = \boxed{\frac{1}{2}}$. The answer stands in \boxed{}.", "0.5"),
    (r"\boxed{3}, \boxed{5}, \boxed{7}", "3, 5, 7"),
    (r"\boxed{3}, \boxed{5}, \boxed{7}", "7, 5, 3"),
    (r"\boxed{3}, \boxed{5}, \boxed{7}", "3, 5"),
    (r"$\boxed{3}$ and $\boxed{5}$", "3, 5"),
    (r"$x = \boxed{3}$ or $x = \boxed{5}$.", "5, 3"),
    (r"First \boxed{3}. Wait, that is wrong, and so the sum of all of them must be \boxed{5}.", "5",
     True, "boxes with more than a comma or a word between are no list: the last one counts"),
    (r"\boxed{-2, 1}", "1, -2"),
    (r"\boxed{\frac{\pi}{2}}", r"\pi/2"),
    (r"\boxed{\frac{\sqrt{2}}{2}}", r"\sqrt{2}/2"),
    (r"\boxed{\text{(C)}}", "C"),
    (r"\boxed{C}", r"\text{(C)}"),
    (r"\boxed{10^6}", "1000000"),
    (r"\boxed{[-2,7]}", r"x \in [-2,7]"),
    (r"\boxed{22_5}", "22_{5}"),
    (r"\fbox{12}", "12", True, "\\fbox is a box"),
    (r"\boxed{12} \text{ cm}", "12"),
    (r"\boxed{\{1, 2\}}", "1, 2"),
    (r"\[ \boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}} \]", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"The boxed answer: $\boxed{\dfrac{9\sqrt{3}}{4}}$.", r"\frac{9\sqrt{3}}{4}"),
    (r"\boxed{x = 5}", "5"),
    (r"\boxed{5\text{ units}}", "5"),
]


def pairs():
    """(right, given, looplm's word where it differs, why)"""
    lines = (HERE / "math_pairs.txt").read_text().splitlines()
    for number, line in enumerate(lines):
        if not line or line.startswith(("# ", "    ")):
            continue
        right, given = line.split(" ~ ")
        below = lines[number + 1] if number + 1 < len(lines) else ""
        note = below.strip() if below.startswith("    ") else ""
        yield right, given, {"=": True, "!": False}.get(note[:1]), note[2:]


def same_answer(right: str, output: str) -> bool:
    """By Math-Verify, with time enough on a busy machine."""
    seconds = 60
    return bool(verify(parse(boxed(right), parsing_timeout=seconds),
                       parse(output, parsing_timeout=seconds), timeout_seconds=seconds))


def entry(fields: dict, right: str, output: str, ours: bool | None, why: str) -> dict:
    same = same_answer(right, output)
    if ours is None:
        return fields | {"same": same}
    if ours == same:
        raise SystemExit(f"Math-Verify agrees about {fields}: no reason is needed")
    return fields | {"same": ours, "math_verify": same, "why": why}


def boxed(text: str) -> str:
    return "\\boxed{" + text + "}"


def main() -> None:
    logging.disable(logging.CRITICAL)
    entries = [entry({"right": right, "given": given}, right, boxed(given), ours, why)
               for right, given, ours, why in pairs()]
    outputs = [entry({"output": output, "right": right}, right, output, *(differs or (None, "")))
               for output, right, *differs in OUTPUTS]
    GOLDEN.parent.mkdir(exist_ok=True)
    lists = {"pairs": entries, "outputs": outputs}
    body = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(e, ensure_ascii=False) for e in items) + "\n]"
        for name, items in lists.items())
    GOLDEN.write_text("{\n" + body + "\n}\n")
    equal = sum(e["same"] for e in entries)
    print(f"{len(entries)} pairs, {equal} of them the same; {sum('why' in e for e in entries)} differ "
          f"from Math-Verify; {len(outputs)} outputs")


if __name__ == "__main__":
    main()

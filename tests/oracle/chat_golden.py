"""Golden files of chat templates: what jinja2, set up as transformers does, makes of our templates.

    python chat_golden.py                            writes tests/golden/chat
    python chat_golden.py --templates DIR --out F    a case file for other people's templates, never committed;
                                                     LOOPLM_CHAT_CASES=F chat_test checks looplm against it
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib

os.environ["TZ"] = "UTC"

import chat_conversations  # noqa: E402
import chat_environment  # noqa: E402
import chat_snippets  # noqa: E402

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "chat"


def dump(path: pathlib.Path, value) -> None:
    """A line for each case and each conversation, so that changes can be read."""
    def lines(items, opening, closing):
        return opening + "\n" + ",\n".join(items) + "\n" + closing

    def text(item):
        return json.dumps(item, ensure_ascii=False)

    parts = []
    for key, item in value.items():
        if isinstance(item, list):
            item = lines([text(i) for i in item], "[", "]")
        elif isinstance(item, dict):
            item = lines([f"{text(k)}: {text(v)}" for k, v in item.items()], "{", "}")
        else:
            item = text(item)
        parts.append(f"{text(key)}: {item}")
    path.write_text(lines(parts, "{", "}") + "\n", encoding="utf-8")


def snippets() -> dict:
    env = chat_environment.environment()
    cases = []
    groups = [chat_snippets.OUTPUT, chat_snippets.EXPRESSIONS, chat_snippets.FILTERS, chat_snippets.METHODS]
    for source in [s for group in groups for s in group] + chat_snippets.STATEMENTS:
        chat_environment.Generation.spans = []
        text = env.from_string(source).render(**chat_snippets.CONTEXT)
        case = {"template": source, "text": text}
        if "generation" in source:
            case["generated"] = "".join(chat_environment.Generation.spans)
        cases.append(case)
    for source in chat_snippets.ERRORS:
        try:
            text = env.from_string(source).render(**chat_snippets.CONTEXT)
        except Exception:  # whatever it is, it is an error
            cases.append({"template": source, "error": True})
        else:
            raise SystemExit(f"no error: {source!r} gives {text!r}")
    return {"context": chat_snippets.CONTEXT, "now": chat_environment.NOW, "cases": cases}


def matrix(templates: dict[str, str]) -> dict:
    cases = []
    for name, source in templates.items():
        for conversation, options in chat_conversations.cases():
            case = {"template": name, "conversation": conversation, "options": options}
            data = chat_conversations.CONVERSATIONS[conversation]
            try:
                case["text"] = chat_environment.render_chat(
                    source, data["messages"], tools=data.get("tools"), **chat_conversations.TOKENS, **options
                )
            except Exception:
                case["error"] = True
            cases.append(case)
    return {
        "now": chat_environment.NOW,
        "tokens": chat_conversations.TOKENS,
        "templates": templates,
        "conversations": chat_conversations.CONVERSATIONS,
        "cases": cases,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    folder = arguments.templates or GOLDEN / "templates"
    templates = {p.stem: p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.jinja"))}
    if arguments.templates:
        dump(arguments.out, matrix(templates))
        return
    GOLDEN.mkdir(parents=True, exist_ok=True)
    dump(GOLDEN / "snippets.json", snippets())
    dump(GOLDEN / "matrix.json", matrix(templates) | {"templates": sorted(templates)})


if __name__ == "__main__":
    main()

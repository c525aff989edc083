"""Jinja and conversations as transformers 5 sets them up for chat templates, in our own words."""

from __future__ import annotations

import copy
import datetime
import json

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1772461925  # 2026-03-02 14:32:05 UTC; the tests run with TZ=UTC


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the model writes."""

    tags = {"generation"}
    spans: list[str] = []

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller):
        text = caller()
        Generation.spans.append(text)
        return text


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)


def environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = to_json
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    env.globals["dict"] = lambda *args, **kwargs: dict(*args, **kwargs)
    env.globals["namespace"] = Namespace
    return env


TAG = "CONTINUE_FINAL_MESSAGE_TAG "


def render_chat(template: str, messages, tools=None, add_generation_prompt=False, continue_final_message=False, **kwargs):
    """The text that tokenizer.apply_chat_template(tokenize=False) gives; keys that are None are left out."""
    messages = [{k: v for k, v in copy.deepcopy(m).items() if v is not None} for m in messages]
    for message in messages:
        reasoning = next((message[k] for k in ("reasoning_content", "thinking", "reasoning") if k in message), None)
        if reasoning is not None:
            message.setdefault("thinking", reasoning)
            message["reasoning_content"] = reasoning
    if continue_final_message:
        final = messages[-1]["content"]
        if isinstance(final, list):
            last = [part for part in final if "text" in part][-1]
            final = last["text"]
            last["text"] += TAG
        else:
            messages[-1]["content"] += TAG
    text = environment().from_string(template).render(
        messages=messages, tools=tools, documents=None, add_generation_prompt=add_generation_prompt, **kwargs
    )
    if continue_final_message:
        if final.strip() not in text or TAG.strip() not in text:
            raise ValueError("the final message does not appear")
        at = text.rindex(TAG.strip())
        text = text[:at] if text[at : at + len(TAG)] == TAG else text[:at].rstrip()
    return text

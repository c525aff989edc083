"""Talks to a running `looplm serve` through the openai package, and checks what comes back.

    python tests/clients/openai_client.py http://127.0.0.1:8080 [chat]

With "chat" the model must be able to hold a conversation (SmolLM2-135M-Instruct, for example).
"""
import json
import sys

from openai import BadRequestError, OpenAI

url = sys.argv[1]
client = OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
model = client.models.list().data[0].id


def completions():
    kept = dict(model=model, prompt="7-2*3=", max_tokens=12, temperature=1.0, seed=7)
    whole = client.completions.create(n=2, logprobs=2, **kept)
    assert len(whole.choices) == 2 and whole.usage.completion_tokens >= 2
    exits = whole.usage.loop["exits"]
    assert sum(exits.values()) == whole.usage.completion_tokens, exits
    pieces = ["", ""]
    for chunk in client.completions.create(n=2, stream=True, **kept):
        for choice in chunk.choices:
            pieces[choice.index] += choice.text
    assert pieces == [c.text for c in whole.choices], (pieces, whole.choices)
    echo = client.completions.create(model=model, prompt="7-2*3=5", max_tokens=1, logprobs=1, echo=True)
    assert echo.choices[0].logprobs.token_logprobs[0] is None
    shallow = client.completions.create(extra_body={"loop": {"max_loops": 1}}, **kept)
    assert set(shallow.usage.loop["exits"]) == {"1"}


def embeddings():
    texts = ["an oak", "a tree"]
    both = client.embeddings.create(model=model, input=texts)
    one = client.embeddings.create(model=model, input=texts[1])
    assert both.data[1].embedding == one.data[0].embedding


def chat():
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    whole = client.chat.completions.create(model=model, messages=messages, max_tokens=40, temperature=0, logprobs=True)
    assert whole.choices[0].message.content and len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
    text = ""
    for chunk in client.chat.completions.create(model=model, messages=messages, max_tokens=40, temperature=0, stream=True):
        text += chunk.choices[0].delta.content or ""
    assert text == whole.choices[0].message.content, (text, whole)
    print("  ", text)


def structured():
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 1, "maximum": 120},
                       "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}},
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    for seed in range(5):
        answer = client.chat.completions.create(
            model=model, seed=seed, temperature=1.2, max_tokens=200,
            messages=[{"role": "user", "content": "Describe a person as JSON."}],
            response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}})
        value = json.loads(answer.choices[0].message.content)
        assert list(value) == ["name", "age", "tags"] and 1 <= value["age"] <= 120 and len(value["name"]) <= 20, value
        assert set(value["tags"]) <= {"a", "b"} and len(value["tags"]) <= 3, value


def tools():
    tool = {"type": "function", "function": {"name": "get_weather", "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 30}}, "required": ["city"],
                           "additionalProperties": False}}}
    kept = dict(model=model, tools=[tool], tool_choice="required", parallel_tool_calls=False, max_tokens=100, temperature=0,
                messages=[{"role": "user", "content": "What is the weather in Paris?"}])
    message = client.chat.completions.create(**kept).choices[0].message
    call = message.tool_calls[0]
    assert call.function.name == "get_weather" and "city" in json.loads(call.function.arguments), message
    name = arguments = ""
    for chunk in client.chat.completions.create(stream=True, **kept):
        for part in chunk.choices[0].delta.tool_calls or []:
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    assert (name, arguments) == (call.function.name, call.function.arguments)
    print("  ", name, arguments)


def errors():
    for wrong in ({"temperature": -1}, {"max_tokens": -5}, {"n": 0}, {"logprobs": 1000}):
        try:
            client.completions.create(**{"model": model, "prompt": "1", **wrong})
        except BadRequestError as error:
            assert error.body["param"] == list(wrong)[0], error.body
        else:
            raise AssertionError(f"{wrong} was served")


checks = [completions, embeddings, errors]
if "chat" in sys.argv[2:]:
    checks += [chat, structured, tools]
for check in checks:
    check()
    print("ok", check.__name__)

"""Talks to a running `looplm serve` in its other dialects: OpenAI's responses (package openai), Anthropic's messages (anthropic) and
Ollama's API (ollama). Any model will do; forms are checked, not sense.

    python tests/clients/dialects_client.py http://127.0.0.1:8080
"""
import json
import sys

import anthropic
import ollama
import openai

url = sys.argv[1]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"], "additionalProperties": False}
QUESTION = "What is the weather in Paris?"


def responses():
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    kept = dict(model=model, input="7-2*3=", instructions="Answer.", temperature=0, max_output_tokens=12)
    whole = client.responses.create(**kept)
    assert whole.status in ("completed", "incomplete") and whole.output[0].type == "message", whole
    assert whole.usage.total_tokens == whole.usage.input_tokens + whole.usage.output_tokens
    with client.responses.stream(**kept) as stream:
        events = list(stream)
    last = events[-1].response
    assert [e.sequence_number for e in events if hasattr(e, "sequence_number")] == list(range(len(events))), events
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert (last.output_text, last.status) == (whole.output_text, whole.status)

    shaped = client.responses.create(model=model, input="A city as JSON.", max_output_tokens=100,
                                     text={"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}})
    assert list(json.loads(shaped.output_text)) == ["city"], shaped

    tool = {"type": "function", "name": "get_weather", "description": "The weather", "parameters": SCHEMA, "strict": True}
    asked = dict(model=model, tools=[tool], tool_choice="required", parallel_tool_calls=False, max_output_tokens=120, temperature=0)
    call = client.responses.create(input=QUESTION, **asked).output[-1]
    assert call.type == "function_call" and call.name == "get_weather" and "city" in json.loads(call.arguments), call
    with client.responses.stream(input=QUESTION, **asked) as stream:
        streamed = stream.get_final_response().output[-1]
    assert (streamed.name, streamed.arguments) == (call.name, call.arguments)
    after = client.responses.create(model=model, max_output_tokens=4, input=[
        {"role": "user", "content": QUESTION},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])
    assert after.output_text is not None
    told = client.responses.create(include=["message.output_text.logprobs"], top_logprobs=2, **kept)
    tokens = told.output[0].content[0].logprobs
    assert "".join(t.token for t in tokens) == told.output_text and all(len(t.top_logprobs) == 2 for t in tokens), tokens
    try:
        client.responses.create(model=model, input="x", previous_response_id="resp_1")
    except openai.BadRequestError as error:
        assert error.body["param"] == "previous_response_id", error.body
    else:
        raise AssertionError("previous_response_id was accepted")


def messages():
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    model = ollama.Client(url).list().models[0].model
    kept = dict(model=model, max_tokens=12, extra_body={"temperature": 0}, system="Answer.", messages=[{"role": "user", "content": "7-2*3="}])
    whole = client.messages.create(**kept)
    assert whole.stop_reason in ("end_turn", "max_tokens") and whole.content[0].type == "text", whole
    with client.messages.stream(**kept) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert text == whole.content[0].text and last.stop_reason == whole.stop_reason, (text, whole)
    assert last.usage.output_tokens == whole.usage.output_tokens
    stopped = client.messages.create(stop_sequences=[text[1:3]], **kept)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", text[1:3]), stopped

    tool = {"name": "get_weather", "description": "The weather", "input_schema": SCHEMA}
    asked = dict(model=model, max_tokens=120, extra_body={"temperature": 0}, tools=[tool], tool_choice={"type": "tool", "name": "get_weather"})
    called = client.messages.create(messages=[{"role": "user", "content": QUESTION}], **asked)
    use = called.content[-1]
    assert called.stop_reason == "tool_use" and use.name == "get_weather" and list(use.input) == ["city"], called
    with client.messages.stream(messages=[{"role": "user", "content": QUESTION}], **asked) as stream:
        assert stream.get_final_message().content[-1].input == use.input
    after = client.messages.create(model=model, max_tokens=4, messages=[
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": [{"type": "tool_use", "id": use.id, "name": use.name, "input": use.input}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}, {"type": "text", "text": "So?"}]}])
    assert after.usage.input_tokens > 0
    try:
        client.messages.create(model="nobody", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error", error.body
    else:
        raise AssertionError("a wrong model was accepted")


def ollama_api():
    client = ollama.Client(url)
    model = client.list().models[0].model
    assert client.ps().models[0].model == model
    vectors = client.embed(model=model, input=["7-2*3=", "oak"]).embeddings
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-3, vectors
    assert len(client.embeddings(model=model, prompt="oak").embedding) == len(vectors[0])
    assert client.show(model).modelinfo["looped.loop_count"] >= 1
    options = {"temperature": 0, "num_predict": 12}
    kept = dict(model=model + ":latest", messages=[{"role": "user", "content": "7-2*3="}], options=options)
    whole = client.chat(**kept)
    assert whole.done and whole.done_reason in ("stop", "length") and whole.eval_count > 0, whole
    parts = list(client.chat(stream=True, **kept))
    assert "".join(p.message.content for p in parts) == whole.message.content and [p.done for p in parts].count(True) == 1
    text = client.generate(model=model, prompt="7-2*3=", options=options)
    streamed = list(client.generate(model=model, prompt="7-2*3=", options=options, stream=True))
    assert "".join(p.response for p in streamed) == text.response, (streamed, text)
    shaped = client.chat(model=model, messages=kept["messages"], format=SCHEMA, options={"num_predict": 100})
    assert list(json.loads(shaped.message.content)) == ["city"], shaped
    tool = {"type": "function", "function": {"name": "get_weather", "description": "The weather", "parameters": SCHEMA}}
    with_tool = client.chat(model=model, tools=[tool], options=options, messages=[
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]},
        {"role": "tool", "tool_name": "get_weather", "content": "sunny"}])
    assert with_tool.done
    try:
        client.chat(model="nobody", messages=kept["messages"])
    except ollama.ResponseError as error:
        assert error.status_code == 404 and "nobody" in error.error, error
    else:
        raise AssertionError("a wrong model was accepted")


for check in (responses, messages, ollama_api):
    check()
    print("ok", check.__name__)

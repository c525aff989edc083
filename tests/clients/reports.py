"""Asks a server what public bug reports of other servers say went wrong there. Needs nothing but Python.

    python3 tests/clients/reports.py LOOPLM [PART]      starts a server of the bundled models; PART of a case's name chooses

Each case is a kind of report against llama.cpp's server, vLLM, Ollama, LM Studio, TGI or a proxy before them. What the model
says is forced by a grammar where a case needs certain words.
"""
import base64
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "models")
CASES = []


def case(function):
    CASES.append(function)
    return function


class Server:
    def __init__(self, looplm, *options):
        self.process = subprocess.Popen(
            [looplm, "serve", os.path.join(MODELS, "chat"), "--model", "small=" + os.path.join(MODELS, "small"), "--port", "0",
             "--log", "off", *options], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return str(self.json.get("error", {}))


server = None


def send(method, path, body=None, headers=None, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    connection.close()
    return answer


def post(path, body, status=200, **more):
    answer = send("POST", path, body, **more)
    assert answer.status == status, (answer.status, answer.body[:600], body if not isinstance(body, bytes) else body[:200])
    return answer.json


def refused(path, body, *words):
    """400 in the API's form, naming what is wrong."""
    answer = send("POST", path, body)
    assert answer.status == 400, (answer.status, answer.body[:300], body)
    for word in words:
        assert word in answer.message, (word, answer.message)
    return answer.json


def events(path, body):
    """The JSON of each event, without the closing one."""
    answer = send("POST", path, {**body, "stream": True})
    assert answer.status == 200, (answer.status, answer.body[:600], body)
    found = []
    for block in answer.body.decode().split("\n\n"):
        for line in block.split("\n"):
            if line.startswith("data: ") and line != "data: [DONE]":
                found.append(json.loads(line[6:]))
    return found


def talk(text, length=256):
    """Raw bytes over a socket of their own; what comes back until the server ends or 3 s are over."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=3) as s:
        s.sendall(text if isinstance(text, bytes) else text.encode())
        got = b""
        try:
            while chunk := s.recv(65536):
                got += chunk
                if len(got) >= length and b"\r\n\r\n" in got and length < 1 << 20:
                    break
        except socket.timeout:
            pass
        return got


def raw_post(path, body, head="", version="1.1"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"POST {path} HTTP/{version}\r\nHost: h\r\nContent-Length: {len(data)}\r\n{head}\r\n").encode() + data


def only(text):
    """A GBNF grammar of one text."""
    return "root ::= " + json.dumps(text, ensure_ascii=False)


def user(text="Tom has 2 apples. How many?"):
    return [{"role": "user", "content": text}]


def forced(text, **fields):
    return {"model": "chat", "messages": user(), "grammar": only(text), "max_tokens": 400, "seed": 1, **fields}


def joined(stream, index=0):
    """What the deltas of a chat stream say together."""
    whole = {"content": "", "reasoning_content": "", "tool_calls": [], "finish_reason": None, "logprobs": []}
    for event in stream:
        for choice in event["choices"]:
            if choice["index"] != index:
                continue
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                whole[name] += delta.get(name) or ""
            for call in delta.get("tool_calls", []):
                if call["index"] == len(whole["tool_calls"]):
                    whole["tool_calls"].append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
                whole["tool_calls"][call["index"]]["arguments"] += call["function"].get("arguments", "")
            whole["finish_reason"] = choice["finish_reason"] or whole["finish_reason"]
            whole["logprobs"] += (choice.get("logprobs") or {}).get("content", [])
    return whole


def tool(name="weather", parameters=None, **more):
    schema = parameters or {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}},
                            "required": ["city"], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema, **more}}


def no_call():
    """A bias against what a call of a tool begins with, where the model has the choice."""
    return {str(post("/tokenize", {"model": "chat", "content": "<"})["tokens"][0]): -100}


def shaped(schema, **fields):
    """The JSON that the model makes of a schema."""
    answer = post("/v1/chat/completions", {
        "model": "chat", "messages": user(), "max_tokens": 400, "seed": 4, "temperature": 1.2,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}, **fields})
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "stop", choice
    return json.loads(choice["message"]["content"])


# --- HTTP

@case
def http_upgrade_to_h2c_is_ignored():  # Java's HttpClient asks for it with every request; servers lost the body
    got = talk(raw_post("/v1/completions", {"model": "small", "prompt": "1+1=", "max_tokens": 1},
                        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"), 1 << 20)
    assert got.startswith(b"HTTP/1.1 200") and b"text_completion" in got, got[:300]


@case
def http_double_slash_of_a_base_address():
    assert send("GET", "//v1/models").status == 200
    post("/v1//chat/completions", forced("ok"))


@case
def http_length_and_chunks_together_are_refused():  # request smuggling
    got = talk(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1 << 20)
    assert got.startswith(b"HTTP/1.1 400"), got[:200]


@case
def http_two_lengths_are_refused():
    got = talk(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}\r\n", 1 << 20)
    assert got.startswith(b"HTTP/1.1 400"), got[:200]


@case
def http_wrong_lengths_are_refused():
    for length in ("-1", "+2", "0x2", "2,3", "two", "99999999999999999999999"):
        got = talk(f"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{{}}", 1 << 20)
        assert got[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413"), (length, got[:200])


@case
def http_a_space_before_a_colon_is_refused():
    got = talk(b"GET /health HTTP/1.1\r\nHost : h\r\n\r\n", 1 << 20)
    assert got.startswith(b"HTTP/1.1 400"), got[:200]


@case
def http_chunks_with_extensions_and_trailers():
    body = b'{"model":"small","prompt":"1+1=","max_tokens":1}'
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
    got = talk(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
               b"0\r\nX-Sum: 1\r\n\r\n", 1 << 20)
    assert got.startswith(b"HTTP/1.1 200"), got[:300]


@case
def http_large_body_with_expectation_is_refused_at_once():
    got = talk(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1099511627776\r\n\r\n", 64)
    assert got.startswith(b"HTTP/1.1 413"), got[:200]


@case
def http_old_versions_get_whole_answers():
    got = talk(raw_post("/v1/completions", {"model": "small", "prompt": "1+1=", "max_tokens": 3, "stream": True}, version="1.0"), 1 << 20)
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower() and body.rstrip().endswith(b"data: [DONE]"), got[:400]


@case
def http_methods_that_are_none():
    for method in ("PUT", "PATCH", "DELETE", "GET"):
        answer = send(method, "/v1/chat/completions")
        assert answer.status == 405 and "POST" in answer.headers["allow"], (method, answer.status)
    assert talk(b"BREW /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 1 << 20)[9:12] in (b"405", b"400")


@case
def http_paths_lead_nowhere_else():
    for path in ("/v1/models/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/%00", "/..", "/v1/models/a%2Fb"):
        answer = send("GET", path)
        assert answer.status == 404 and answer.json["error"]["message"], (path, answer.status, answer.body[:100])


@case
def http_bodies_that_are_no_json_objects():
    for body in (b"", b"null", b"[]", b'"x"', b"{", b"{}}", b"{'prompt': 1}", b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}',
                 b'{"n": 1e999, "prompt": "1"}', b'{"temperature": NaN, "prompt": "1"}', b'{"prompt": "1", "n": 01}',
                 '{"prompt": "1"}'.encode("utf-16")):
        answer = send("POST", "/v1/completions", body)
        assert answer.status == 400 and answer.json["error"]["type"] == "invalid_request_error", (body, answer.status, answer.body[:200])


@case
def http_byte_order_mark_before_json():
    post("/v1/completions", b'\xef\xbb\xbf{"model": "small", "prompt": "1+1=", "max_tokens": 1}')


@case
def http_any_type_of_content_is_json():
    for kind in ("text/plain", "application/json; charset=utf-8", "application/x-www-form-urlencoded", ""):
        post("/v1/completions", {"model": "small", "prompt": "1+1=", "max_tokens": 1}, headers={"Content-Type": kind})


@case
def http_connections_are_kept_over_errors():
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for body, status in ((b"{", 400), (b'{"model":"x","prompt":"1"}', 404), (b'{"model":"small","prompt":"1","max_tokens":1}', 200)) * 3:
        connection.request("POST", "/v1/completions", body)
        response = connection.getresponse()
        response.read()
        assert response.status == status, (body, response.status)
    connection.close()


@case
def http_head_has_no_body():
    for path in ("/health", "/v1/models", "/"):
        got = talk(f"HEAD {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 1 << 20)
        assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"\r\n\r\n"), (path, got[-80:])


@case
def http_errors_have_a_json_type_and_no_html():
    for answer in (send("GET", "/nothing"), send("POST", "/v1/completions", b"{"), send("GET", "/v1/completions")):
        assert answer.headers["content-type"].startswith("application/json"), answer.headers
        assert set(answer.json["error"]) >= {"message", "type", "param", "code"}, answer.json


@case
def http_streams_have_their_type():
    answer = send("POST", "/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 1, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


@case
def http_refusals_before_a_stream_are_no_stream():
    answer = send("POST", "/v1/chat/completions", {"messages": [], "stream": True})
    assert answer.status == 400 and answer.headers["content-type"].startswith("application/json")


@case
def http_absolute_addresses_and_a_query():  # proxies send them
    for target in ("http://h/v1/models", "HTTP://h:80/v1/models?limit=1000", "/v1/models?a=/b&c", "/v1/models/?beta=true", "/v1/%6dodels"):
        got = talk(f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 1 << 20)
        assert got.startswith(b"HTTP/1.1 200") and b'"data"' in got, (target, got[:200])


@case
def http_other_protocols_are_turned_away():  # TLS on the plain port, HTTP/2, HTTP/0.9, WebSocket
    for hello in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n",
                  b"GET /v1/models HTTP/3.7\r\nHost: h\r\n\r\n", b"\x00" * 64, b"SSH-2.0-OpenSSH_9.2\r\n"):
        got = talk(hello, 1 << 20)
        assert not got.startswith(b"HTTP/1.1 200"), (hello, got[:200])
    got = talk(b"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n", 1 << 20)
    assert got.startswith(b"HTTP/1.1 200"), got[:200]
    assert send("GET", "/health").status == 200


@case
def http_headers_too_large_are_431():  # cookies of other programs on the same host
    for head in ("Cookie: " + "x" * 100_000, "\r\n".join(f"H{i}: {i}" for i in range(20_000))):
        got = talk(f"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}\r\n\r\n", 1 << 20)
        assert got[:12] in (b"HTTP/1.1 431", b"") or got == b"", got[:100]
    got = talk("GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: " + "x" * 16_000 + "\r\n\r\n", 1 << 20)
    assert got.startswith(b"HTTP/1.1 200"), got[:100]


@case
def http_codings_that_are_unknown():
    got = talk(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: gzip\r\n\r\n{}", 1 << 20)
    assert got[9:12] in (b"400", b"501"), got[:200]
    body = b'{"model":"small","prompt":"1+1=","max_tokens":1}'
    for head in ("Accept-Encoding: gzip, br", "Accept: text/event-stream", "TE: trailers", "Range: bytes=0-3", "If-None-Match: *"):
        got = talk(raw_post("/v1/completions", body, f"Connection: close\r\n{head}\r\n"), 1 << 20)
        assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"}"), (head, got[:200])


@case
def http_bytes_behind_the_body_belong_to_the_next_request():
    body = b'{"model":"small","prompt":"1+1=","max_tokens":1,"stream":true}'
    whole = raw_post("/v1/completions", body)
    got = talk(whole + whole + b"nonsense\r\n\r\n", 1 << 20)
    assert got.count(b"HTTP/1.1 200") == 2 and got.count(b"[DONE]") == 2 and got.count(b"HTTP/1.1 400") == 1, got[-400:]


# --- completions

@case
def completions_prompts_in_every_form():
    ids = post("/tokenize", {"model": "small", "content": "7-2*3="})["tokens"]
    one = post("/v1/completions", {"model": "small", "prompt": ids, "max_tokens": 3, "temperature": 0})
    for prompt, count in (([ids], 1), ([ids, ids], 2), ([ids, "7-2*3="], 2), (["7-2*3="], 1)):
        answer = post("/v1/completions", {"model": "small", "prompt": prompt, "max_tokens": 3, "temperature": 0})
        assert [c["index"] for c in answer["choices"]] == list(range(count))
        assert answer["choices"][0]["text"] == one["choices"][0]["text"]
    for prompt in ([], [[]], "", [""], [1.5], [[1], 2], {"a": 1}, 7, [["x"]], [None], True):
        refused("/v1/completions", {"model": "small", "prompt": prompt, "max_tokens": 1}, "prompt")


@case
def completions_numbers_that_are_none():
    for name, value in (("max_tokens", "5"), ("max_tokens", True), ("max_tokens", []), ("temperature", "1"), ("temperature", True),
                        ("top_p", -0.1), ("top_p", 2), ("top_k", 1.5), ("top_k", -2), ("min_p", 1.1), ("n", 0), ("n", "2"), ("n", 1e9),
                        ("presence_penalty", 3), ("frequency_penalty", -3), ("seed", "1"), ("seed", 1.5), ("logprobs", -1),
                        ("logprobs", 1000), ("stream", "true"), ("stream", 1), ("echo", "yes"), ("stop", 5), ("stop", {}),
                        ("logit_bias", [1]), ("logit_bias", {"a": 1}), ("logit_bias", {"5": "x"}), ("repetition_penalty", 0)):
        refused("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 1, name: value}, name)


@case
def completions_null_is_absent():
    names = ("max_tokens", "temperature", "top_p", "n", "stop", "stream", "logprobs", "echo", "presence_penalty", "frequency_penalty",
             "best_of", "logit_bias", "user", "seed", "suffix", "stream_options", "top_k", "response_format", "grammar")
    post("/v1/completions", {"model": "small", "prompt": "1+1=", **{name: None for name in names}})


@case
def completions_more_candidates_than_words():  # clients send top_k 100000 for "all"
    same = {"model": "small", "prompt": "oak", "max_tokens": 8, "seed": 3}
    texts = {post("/v1/completions", {**same, "top_k": k})["choices"][0]["text"] for k in (0, -1, 1024, 100000, 2147483647)}
    assert len(texts) == 1, texts


@case
def completions_stop_in_every_place():
    for text, stops, left in (("abc", ["abc"], ""), ("abcabc", ["c"], "ab"), ("abcd", ["d", "bc"], "a"), ("aab", ["ab"], "a"),
                              ("a\nb", ["\n"], "a"), ("naïve", ["ï"], "na"), ("x<|y", ["<|"], "x"), ("abab", ["bb"], "abab"),
                              ("aXb", ["x"], "aXb"), ("日本語", ["本"], "日"), ("a b", [" "], "a"), ("abc", ["cd"], "abc")):
        body = {"model": "small", "prompt": "1", "max_tokens": 60, "grammar": only(text), "stop": stops}
        answer = post("/v1/completions", body)
        assert answer["choices"][0]["text"] == left, (text, stops, answer["choices"])
        assert answer["choices"][0]["finish_reason"] == "stop"
        pieces = "".join(c["text"] for e in events("/v1/completions", body) for c in e["choices"])
        assert pieces == left, (text, stops, pieces)


@case
def completions_text_held_back_for_a_stop_comes_at_the_end_of_the_budget():
    body = {"model": "small", "prompt": "1", "grammar": only("ENDLESS"), "stop": ["ENDLESSLY"], "max_tokens": 60}
    assert post("/v1/completions", body)["choices"][0]["text"] == "ENDLESS"
    for most in range(1, 6):
        whole = post("/v1/completions", {**body, "max_tokens": most})["choices"][0]
        pieces = "".join(c["text"] for e in events("/v1/completions", {**body, "max_tokens": most}) for c in e["choices"])
        assert whole["text"] == pieces and "ENDLESS".startswith(pieces) and pieces, (most, whole, pieces)


@case
def completions_stop_within_a_prompt_does_not_end_it():
    answer = post("/v1/completions", {"model": "small", "prompt": "STOP", "grammar": only("abSTOPc"), "stop": "STOP", "echo": True, "max_tokens": 40})
    assert answer["choices"][0]["text"] == "STOPab", answer


@case
def completions_usage_is_what_the_tokens_are():
    body = {"model": "small", "prompt": ["7-2*3=", "oak tree"], "n": 2, "max_tokens": 7, "logprobs": 0, "ignore_eos": True, "seed": 1}
    answer = post("/v1/completions", body)
    tokens = sum(len(c["logprobs"]["tokens"]) for c in answer["choices"])
    assert answer["usage"]["completion_tokens"] == tokens == 28, (answer["usage"], tokens)
    prompt = sum(post("/tokenize", {"model": "small", "prompt": p})["count"] for p in body["prompt"])
    assert answer["usage"]["prompt_tokens"] == prompt
    last = events("/v1/completions", {**body, "stream_options": {"include_usage": True}})[-1]
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 28


@case
def completions_stream_tells_usage_only_when_asked():
    body = {"model": "small", "prompt": "1", "max_tokens": 3}
    assert not any(e.get("usage") for e in events("/v1/completions", body))
    found = events("/v1/completions", {**body, "stream_options": {"include_usage": True}})
    assert all(e["usage"] is None for e in found[:-1]) and found[-1]["usage"]["prompt_tokens"] > 0
    assert not any(e.get("usage") for e in events("/v1/completions", {**body, "stream_options": {"include_usage": False}}))
    assert not any(e.get("usage") for e in events("/v1/completions", {**body, "stream_options": {}}))


@case
def completions_choices_of_a_stream_end_each_on_their_own():
    found = events("/v1/completions", {"model": "small", "prompt": ["1+1=", "oak"], "n": 3, "max_tokens": 5, "seed": 9})
    ends = [c["index"] for e in found for c in e["choices"] if c["finish_reason"]]
    assert sorted(ends) == list(range(6)), ends
    assert len({e["id"] for e in found}) == 1 and len({e["created"] for e in found}) == 1


@case
def completions_first_token_of_a_seed_is_the_same_alone_and_among_others():
    body = {"model": "small", "prompt": "oak tree", "max_tokens": 12, "seed": 77, "temperature": 1.5}
    alone = post("/v1/completions", body)["choices"][0]["text"]
    assert post("/v1/completions", {**body, "n": 4})["choices"][0]["text"] == alone
    second = post("/v1/completions", {**body, "n": 4})["choices"][1]["text"]
    assert post("/v1/completions", {**body, "seed": 78})["choices"][0]["text"] == second


@case
def completions_log_probabilities_have_one_entry_per_token():
    for count in (0, 1, 5):
        logprobs = post("/v1/completions", {"model": "small", "prompt": "oak", "max_tokens": 6, "seed": 2, "logprobs": count})["choices"][0]["logprobs"]
        lengths = {len(logprobs[k]) for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
        assert len(lengths) == 1, logprobs
        for token, value, top in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"]):
            assert value <= 0 and token in top and max(count, 1) <= len(top) <= count + 1, (count, token, top)


@case
def completions_echo_alone_and_with_log_probabilities():
    answer = post("/v1/completions", {"model": "small", "prompt": "7-2*3=5", "echo": True, "max_tokens": 0, "logprobs": 1})["choices"][0]
    assert answer["text"] == "7-2*3=5" and answer["logprobs"]["token_logprobs"][0] is None
    assert "".join(answer["logprobs"]["tokens"]).endswith("7-2*3=5")
    assert answer["logprobs"]["text_offset"] == sorted(answer["logprobs"]["text_offset"])
    both = post("/v1/completions", {"model": "small", "prompt": ["1+1=", "2+2="], "echo": True, "max_tokens": 1, "temperature": 0})
    assert [c["text"][:4] for c in both["choices"]] == ["1+1=", "2+2="]


@case
def completions_bias_bans_and_forces():
    ids = [post("/tokenize", {"model": "small", "content": d})["tokens"][-1] for d in "0123456789"]
    text = post("/v1/completions", {"model": "small", "prompt": "7-2*3=", "max_tokens": 4, "temperature": 0, "ignore_eos": True,
                                    "logit_bias": {str(i): -100 for i in ids}})["choices"][0]["text"]
    assert not any(c.isdigit() for c in text), text
    text = post("/v1/completions", {"model": "small", "prompt": "oak", "max_tokens": 4, "logit_bias": {str(ids[7]): 100}})["choices"][0]["text"]
    assert text == "7777", text


@case
def completions_stop_token_ids_end_without_their_text():
    seven = post("/tokenize", {"model": "small", "content": "7"})["tokens"][-1]
    answer = post("/v1/completions", {"model": "small", "prompt": "1", "grammar": only("127x"), "stop_token_ids": [seven], "max_tokens": 9})
    assert answer["choices"][0]["text"] == "12" and answer["choices"][0]["finish_reason"] == "stop", answer


@case
def completions_half_characters_come_whole_or_replaced():
    body = {"model": "small", "prompt": "1", "grammar": only("😀é日"), "max_tokens": 60}
    tokens = post("/v1/completions", body)["usage"]["completion_tokens"]
    for most in range(1, tokens + 1):
        whole = post("/v1/completions", {**body, "max_tokens": most})["choices"][0]["text"]
        found = events("/v1/completions", {**body, "max_tokens": most})
        pieces = "".join(c["text"] for e in found for c in e["choices"])
        assert whole == pieces, (most, whole, pieces)
        assert "\ufffd" not in pieces.rstrip("\ufffd"), (most, found)


@case
def completions_control_characters_survive():
    for text in ("a\u0000b", "tab\there", "\u2028\u2029", "\u007f", "\u202e", "a\r\nb"):
        assert post("/v1/completions", {"model": "small", "prompt": text, "max_tokens": 0, "echo": True})["choices"][0]["text"] == text


@case
def completions_unknown_model_is_404_everywhere():
    for path, body in (("/v1/completions", {"prompt": "1"}), ("/v1/chat/completions", {"messages": user()}), ("/v1/embeddings", {"input": "1"}),
                       ("/v1/responses", {"input": "1"}), ("/v1/messages", {"messages": user(), "max_tokens": 1}), ("/api/chat", {"messages": user()}),
                       ("/api/generate", {"prompt": "1"}), ("/api/show", {}), ("/tokenize", {"content": "1"})):
        answer = send("POST", path, {"model": "gpt-5", **body})
        assert answer.status == 404 and "gpt-5" in json.dumps(answer.json), (path, answer.status, answer.body[:200])


@case
def completions_a_prompt_that_does_not_fit_names_both_lengths():
    for path, body in (("/v1/completions", {"prompt": "1" * 5000}), ("/v1/chat/completions", {"messages": user("1" * 5000)}),
                       ("/v1/embeddings", {"input": "1" * 5000}), ("/v1/messages", {"messages": user("1" * 5000), "max_tokens": 5}),
                       ("/v1/responses", {"input": "1" * 5000})):
        answer = send("POST", path, body)
        assert answer.status == 400 and "512" in answer.body.decode() and "500" in answer.body.decode(), (path, answer.status, answer.body[:300])


@case
def completions_budget_beyond_the_context_is_cut():
    answer = post("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 100000, "ignore_eos": True})
    assert answer["choices"][0]["finish_reason"] == "length" and answer["usage"]["total_tokens"] <= 513


@case
def completions_offsets_of_a_stream_are_those_of_the_whole():  # vLLM 47815
    for fields in ({"echo": True}, {}):
        body = {"model": "small", "prompt": "naïve oak 😀", "max_tokens": 7, "seed": 3, "logprobs": 1, "ignore_eos": True, **fields}
        whole = post("/v1/completions", body)["choices"][0]["logprobs"]
        parts = [c["logprobs"] for e in events("/v1/completions", body) for c in e["choices"] if c.get("logprobs")]
        for name in ("text_offset", "tokens", "token_logprobs"):
            assert [x for part in parts for x in part[name]] == whole[name], (name, fields, parts, whole)


@case
def completions_extreme_settings_are_refused_or_served():  # llama.cpp 19367
    for fields in ({"temperature": 999999.0}, {"top_p": -1.0}, {"repeat_penalty": 0.0}, {"temperature": -1}, {"seed": 1e30}, {"max_tokens": -5}, {"min_p": 7}):
        refused("/v1/completions", {"model": "small", "prompt": "hi", "max_tokens": 1, **fields}, next(iter(fields)))
    for fields in ({"temperature": 2, "top_p": 0, "top_k": 1}, {"temperature": 1e-30}, {"top_p": 1e-30}, {"min_p": 1}, {"presence_penalty": -2, "frequency_penalty": 2},
                   {"repetition_penalty": 1e-3, "max_tokens": 20}, {"logit_bias": {str(i): -100 for i in range(400)}}, {"seed": -2}):
        post("/v1/completions", {"model": "small", "prompt": "hi", "max_tokens": 3, **fields})


@case
def completions_a_seed_of_minus_one_is_none():  # llama.cpp's, Ollama's and vLLM's word for it
    seeds = {post("/v1/completions", {"model": "small", "prompt": "oak", "max_tokens": 1, "seed": -1})["seed"] for _ in range(4)}
    assert len(seeds) == 4 and -1 not in seeds, seeds


@case
def completions_fields_of_other_servers_are_no_wishes_in_the_wind():
    for fields in ({"top_n_sigma": 1.5}, {"max_new_tokens": 5}, {"min_new_tokens": 5}, {"ebnf": 'root ::= "a"'}, {"structural_tag": "{}"}, {"logits_processors": ["x"]},
                   {"return_token_ids": True}, {"lora": [{"id": 0, "scale": 1}]}, {"min_tokens": 5}, {"samplers": ["top_k"]}):
        name = next(iter(fields))
        refused("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 1, **fields}, name)
        refused("/v1/chat/completions", {**forced("ok"), **fields}, name)
    post("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 1, "top_n_sigma": -1, "lora": [], "return_tokens": False, "min_tokens": 0, "ebnf": None})


@case
def completions_many_and_long_stops():
    body = {"model": "small", "prompt": "1", "grammar": only("abcdefg"), "max_tokens": 60}
    stops = [f"never {i}" for i in range(60)] + ["e"]
    assert post("/v1/completions", {**body, "stop": stops})["choices"][0]["text"] == "abcd"
    assert post("/v1/completions", {**body, "stop": ["abcdefg" * 20_000]})["choices"][0]["text"] == "abcdefg"
    assert post("/v1/completions", {**body, "stop": []})["choices"][0]["text"] == "abcdefg"
    refused("/v1/completions", {**body, "stop": ["a", None]}, "stop")


@case
def completions_an_answer_of_nothing():
    body = {"model": "small", "prompt": "oak", "max_tokens": 5, "grammar": 'root ::= ""'}
    whole = post("/v1/completions", body)
    assert whole["choices"][0]["text"] == "" and whole["choices"][0]["finish_reason"] == "stop", whole
    found = events("/v1/completions", {**body, "stream_options": {"include_usage": True}})
    assert found[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"], (found, whole)
    assert [c["finish_reason"] for e in found for c in e["choices"]][-1] == "stop"


@case
def completions_what_a_context_holds_to_the_last_token():
    ids = [5] * 511
    answer = post("/v1/completions", {"model": "small", "prompt": ids, "ignore_eos": True})
    assert answer["usage"]["completion_tokens"] == 1 and answer["choices"][0]["finish_reason"] == "length", answer["usage"]
    refused("/v1/completions", {"model": "small", "prompt": ids + [5]}, "512")
    assert post("/v1/completions", {"model": "small", "prompt": ids + [5], "max_tokens": 0, "echo": True, "logprobs": 0})["usage"]["prompt_tokens"] == 512


# --- chat

@case
def chat_content_in_every_form():
    same = [post("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 8})
            ["choices"][0]["message"]["content"] for content in ("2+2?", [{"type": "text", "text": "2+2?"}])]
    assert same[0] == same[1]
    for content in (7, True, {"type": "text", "text": "x"}, [7], [{"text": "x"}], [{"type": "text"}], [{"type": "image_url", "image_url": {"url": "x"}}],
                    [{"type": "input_audio", "input_audio": {}}], None):
        refused("/v1/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": content}]}, "messages[0]")


@case
def chat_messages_that_are_none():
    for messages in (None, [], {}, "hi", [7], [{}], [{"role": "user"}], [{"role": "robot", "content": "x"}], [{"role": 3, "content": "x"}],
                     [{"content": "x"}], [{"role": "tool", "content": "x"}], [{"role": "user", "content": "x", "tool_calls": [{}]}],
                     [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {}}]}],
                     [{"role": "assistant", "tool_calls": "x"}]):
        refused("/v1/chat/completions", {"model": "chat", "messages": messages}, "messages")


@case
def chat_fields_of_newer_clients_are_let_be():
    post("/v1/chat/completions", forced("ok", user="u", metadata={"a": "b"}, store=False, service_tier="auto", safety_identifier="s",
                                        prompt_cache_key="k", verbosity="low", parallel_tool_calls=True, tools=[], modalities=["text"], logit_bias={},
                                        prompt_cache_retention="24h", frequency_penalty=0, response_format={"type": "text"}))


@case
def chat_role_comes_once_and_first():
    found = events("/v1/chat/completions", forced("abc"))
    deltas = [c["delta"] for e in found for c in e["choices"]]
    assert deltas[0].get("role") == "assistant" and not any("role" in d for d in deltas[1:]), deltas
    assert deltas[-1] == {} and [c["finish_reason"] for e in found for c in e["choices"]][-1] == "stop"


@case
def chat_stream_and_whole_say_the_same():
    for text in ("plain", "<think>why</think>because", "<think>why\n\n</think>\n\nbecause <b>", "a <tool_call> b", "<think>never ends", "</think>x", " lead", "end "):
        whole = post("/v1/chat/completions", forced(text))["choices"][0]
        parts = joined(events("/v1/chat/completions", forced(text)))
        assert parts["content"] == (whole["message"]["content"] or ""), (text, whole, parts)
        assert parts["reasoning_content"] == whole["message"].get("reasoning_content", ""), (text, whole, parts)
        assert parts["finish_reason"] == whole["finish_reason"]


@case
def chat_reasoning_is_counted_and_parted():
    answer = post("/v1/chat/completions", forced("<think>one two</think>three"))
    message = answer["choices"][0]["message"]
    assert message["reasoning_content"] == "one two" and message["content"] == "three", message
    assert 0 < answer["usage"]["completion_tokens_details"]["reasoning_tokens"] < answer["usage"]["completion_tokens"]


@case
def chat_stops_do_not_cut_reasoning():  # vLLM 14170
    for text, stop, content in (("<think>a\n\nb</think>one\n\ntwo", "\n\n", "one"), ("<think>9.8</think>it is 9.8!", "9.8", "it is "), ("no\n\nthought", "\n\n", "no")):
        message = post("/v1/chat/completions", forced(text, stop=[stop]))["choices"][0]["message"]
        assert message["content"] == content, message
        assert joined(events("/v1/chat/completions", forced(text, stop=[stop])))["content"] == content


@case
def chat_roles_in_any_order():
    for roles in (["system"], ["developer"], ["user", "user"], ["system", "system", "user"], ["user", "system", "user"], ["assistant", "user"], ["user", "assistant", "assistant", "user"],
                  ["developer", "user", "assistant", "user"]):
        answer = post("/v1/chat/completions", {**forced("ok"), "messages": [{"role": r, "content": f"{r} {i}", "name": "n"} for i, r in enumerate(roles)]})
        assert answer["choices"][0]["message"]["content"] == "ok", (roles, answer)
    for content in ("", " ", "\n"):
        post("/v1/chat/completions", {**forced("ok"), "messages": [{"role": "user", "content": content}]})


@case
def chat_templates_do_not_run_what_users_write():
    for text in ("{{ 7*7 }}", "{% for i in range(9) %}x{% endfor %}", "{{ raise_exception('x') }}", "{# gone #}", "{%- raw -%}"):
        prompt = post("/apply-template", {"model": "chat", "messages": user(text)})["prompt"]
        assert text in prompt, (text, prompt)


@case
def chat_text_of_frames_stays_text():
    for text in ("data: [DONE]\n\n", "\r\n\r\nevent: x\ndata: {}", "\u2028data:", "</script>", '"}]}'):
        found = joined(events("/v1/chat/completions", forced(text)))
        assert found["content"] == text, (text, found)


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'


def calling(text, **fields):
    return forced(text, tools=[tool()], **fields)


@case
def tools_stream_and_whole_say_the_same():
    for text in (CALL, "Let me see.\n" + CALL, CALL + "\n" + CALL, '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>',
                 '<tool_call>{"arguments": {"city": "Ü\\n\\"x\\""}, "name": "weather"}</tool_call>', "<tool_call>nonsense</tool_call>", "no call"):
        whole = post("/v1/chat/completions", calling(text, seed=5))["choices"][0]
        parts = joined(events("/v1/chat/completions", calling(text, seed=5)))
        calls = whole["message"].get("tool_calls", [])
        assert [(c["name"], c["arguments"]) for c in parts["tool_calls"]] == [(c["function"]["name"], c["function"]["arguments"]) for c in calls], (text, whole, parts)
        assert parts["content"] == (whole["message"]["content"] or ""), (text, whole, parts)
        assert parts["finish_reason"] == whole["finish_reason"] in ("length", "tool_calls" if calls else "stop"), (text, whole)
        assert "<tool_call" not in parts["content"] or not calls, (text, whole)


@case
def tools_cut_by_the_budget_are_cut_alike():  # vLLM 47903
    for most in range(1, 30, 3):
        body = {"model": "chat", "messages": user(), "tools": [tool()], "tool_choice": "required", "seed": 6, "temperature": 1.3, "max_tokens": most}
        whole = post("/v1/chat/completions", body)["choices"][0]
        parts = joined(events("/v1/chat/completions", body))
        calls = [(c["function"]["name"], c["function"]["arguments"]) for c in whole["message"].get("tool_calls", [])]
        assert [(c["name"], c["arguments"]) for c in parts["tool_calls"]] == calls and parts["content"] == (whole["message"]["content"] or ""), (most, whole, parts)
        assert parts["finish_reason"] == whole["finish_reason"], (most, whole, parts)


@case
def tools_without_parameters_or_description():  # llama.cpp 17667, llm-tools-mcp 51
    for function in ({"name": "now"}, {"name": "now", "parameters": None}, {"name": "now", "parameters": {}}, {"name": "now", "description": None},
                     {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}, {"name": "now", "strict": None}):
        body = {"model": "chat", "messages": user(), "tools": [{"type": "function", "function": function}], "tool_choice": "required", "max_tokens": 200}
        choice = post("/v1/chat/completions", body)["choices"][0]
        call = choice["message"]["tool_calls"][0]["function"]
        assert call["name"] == "now" and (choice["finish_reason"] == "length" or isinstance(json.loads(call["arguments"]), dict)), call


@case
def tools_with_all_arguments_optional():  # llama.cpp 28340
    schema = {"type": "object", "properties": {"query": {"type": "string", "maxLength": 5}, "limit": {"type": "integer", "minimum": 1, "maximum": 100}},
              "required": ["query"]}
    for seed in range(4):
        body = {"model": "chat", "messages": user(), "tools": [tool("web", schema)], "tool_choice": "required", "max_tokens": 300, "seed": seed,
                "temperature": 1.2, "parallel_tool_calls": False}
        call = json.loads(post("/v1/chat/completions", body)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
        assert set(call) <= {"query", "limit"} and "query" in call and 1 <= call.get("limit", 1) <= 100, call


@case
def tools_named_choice_is_held():  # llama.cpp 26535
    small = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    tools = [tool("time_here", small), tool("time_there", small)]
    for name in ("time_here", "time_there"):
        body = {"model": "chat", "messages": user("time_there"), "tools": tools, "tool_choice": {"type": "function", "function": {"name": name}}, "max_tokens": 300}
        calls = post("/v1/chat/completions", body)["choices"][0]["message"]["tool_calls"]
        assert [c["function"]["name"] for c in calls] == [name], calls
    refused("/v1/chat/completions", {"model": "chat", "messages": user(), "tools": tools, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "'x'")
    refused("/v1/chat/completions", {"model": "chat", "messages": user(), "tools": tools, "tool_choice": "always"}, "tool_choice")
    refused("/v1/chat/completions", {"model": "chat", "messages": user(), "tool_choice": "required"}, "tool_choice")
    post("/v1/chat/completions", forced("ok", tool_choice="none"))
    post("/v1/chat/completions", forced("ok", tool_choice="auto"))


@case
def tools_only_allowed_ones_are_called():
    def choice(mode, *names):
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [{"type": "function", "function": {"name": n}} for n in names]}}
    small = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    body = {"model": "chat", "messages": user(), "tools": [tool("time_here", small), tool("time_there", small)], "max_tokens": 300}
    for name, other in (("time_here", "time_there"), ("time_there", "time_here")):
        calls = post("/v1/chat/completions", {**body, "tool_choice": choice("required", name)})["choices"][0]["message"]["tool_calls"]
        assert {c["function"]["name"] for c in calls} == {name}, calls
        shown = post("/apply-template", {**body, "tool_choice": choice("auto", name)})["prompt"]
        assert name in shown and other not in shown, shown
        flat = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": name}]}
        items = post("/v1/responses", {"model": "chat", "input": "x", "tools": [{"type": "function", **t["function"]} for t in body["tools"]], "tool_choice": flat})["output"]
        assert {i["name"] for i in items if i["type"] == "function_call"} == {name}, items
    for wrong in (choice("required"), choice("required", "x"), choice("always", "time_here"), {"type": "allowed_tools"}):
        refused("/v1/chat/completions", {**body, "tool_choice": wrong}, "tool_choice.allowed_tools")


@case
def tools_none_is_held():
    answer = post("/v1/chat/completions", calling(CALL, tool_choice="none"))["choices"][0]
    assert "tool_calls" not in answer["message"] and answer["message"]["content"] == CALL and answer["finish_reason"] == "stop", answer


@case
def tools_one_call_where_one_is_asked_for():
    body = {"model": "chat", "messages": user(), "tools": [tool()], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 400, "n": 3, "seed": 1, "temperature": 1.4}
    for choice in post("/v1/chat/completions", body)["choices"]:
        assert len(choice["message"]["tool_calls"]) == 1, choice


@case
def tools_ids_differ_over_choices_and_turns():
    body = {"model": "chat", "tools": [tool("f", {"type": "object"})], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 60, "seed": 42,
            "messages": user(), "n": 2}
    first = post("/v1/chat/completions", body)["choices"]
    ids = [c["id"] for choice in first for c in choice["message"]["tool_calls"]]
    assert post("/v1/chat/completions", body)["choices"][0]["message"]["tool_calls"][0]["id"] == ids[0]
    message = first[0]["message"]
    body["messages"] += [message] + [{"role": "tool", "tool_call_id": c["id"], "content": "sunny"} for c in message["tool_calls"]]
    ids += [c["id"] for choice in post("/v1/chat/completions", body)["choices"] for c in choice["message"]["tool_calls"]]
    assert len(set(ids)) == len(ids), ids


@case
def tools_history_as_clients_write_it():
    for call in ({"arguments": "{}"}, {"arguments": ""}, {"arguments": {"city": "Rome"}}, {}, {"arguments": "not json"}):
        for content in (None, "", [], [{"type": "text", "text": "Let me see."}]):
            messages = user() + [{"role": "assistant", "content": content, "refusal": None, "annotations": [], "audio": None, "function_call": None,
                                  "tool_calls": [{"id": "c1", "type": "function", "index": 0, "function": {"name": "weather", **call}}]},
                                 {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "sunny"}]
            post("/v1/chat/completions", {**forced("ok"), "messages": messages, "tools": [tool()], "tool_choice": "none"})
    for content in ("", [], [{"type": "text", "text": "sunny"}]):
        messages = user() + [{"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
                             {"role": "tool", "tool_call_id": "c1", "content": content}]
        post("/v1/chat/completions", {**forced("ok"), "messages": messages})


@case
def tools_that_are_none():
    for tools in ({}, "x", [7], [{}], [{"type": "function"}], [{"type": "function", "function": {}}], [{"type": "code_interpreter"}],
                  [tool(parameters={"type": "array"})], [tool(""), tool("b")], [tool("a"), tool("a")], [{"type": "function", "function": {"name": "a", "parameters": []}}],
                  [{"type": "function", "function": {"name": "a", "parameters": "x"}}]):
        refused("/v1/chat/completions", {"model": "chat", "messages": user(), "tools": tools}, "tools")


@case
def tools_strict_arguments_hold_where_the_model_chooses():
    words = 'root ::= "<tool_call>\\n{\\"name\\": \\"weather\\", \\"arguments\\": "'  # the model would go on as it likes
    body = {"model": "chat", "messages": user(), "tools": [tool(strict=True)], "max_tokens": 300, "seed": 3, "temperature": 1.5}
    opening = post("/tokenize", {"model": "chat", "content": "<"})["tokens"][-1]
    choice = post("/v1/chat/completions", {**body, "logit_bias": {str(opening): 100}})["choices"][0]
    assert words and choice["finish_reason"] in ("tool_calls", "stop", "length"), choice
    for call in choice["message"].get("tool_calls", []):
        assert call["function"]["name"] == "weather"
    refused("/v1/chat/completions", {**body, "tools": [tool(parameters={"type": "object", "$dynamicRef": "#x"}, strict=True)]}, "parameters.$dynamicRef")


@case
def tools_schemas_as_servers_of_tools_write_them():  # llama.cpp 26930, 27580, 27397, 25895
    schemas = (
        {"type": "object", "properties": {"id": {"type": "string", "pattern": "^\\d+$"}}, "required": ["id"]},
        {"type": "object", "properties": {"s": {"type": "string", "pattern": "\\S", "maxLength": 9}}, "required": ["s"]},
        {"type": "object", "properties": {"u": {"type": "array", "maxItems": 2, "items": {"type": "string", "pattern": "^(https:\\/\\/)?(www\\.)?a\\.com\\/[a-z]{1,4}$"}}}},
        {"type": "object", "properties": {"ids": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "pattern": "^(\\d{1,4}|imap:[A-Za-z0-9_-]{1,4})$"}}}, "required": ["ids"]},
        {"type": "object", "properties": {"p": {"anyOf": [{"type": "string", "maxLength": 4}, {"type": "null"}], "default": None, "title": "P"}}},
        {"type": "object", "properties": {"t": {"type": ["string", "null"], "enum": ["a", "b", None]}}, "required": ["t"]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}, "additionalProperties": False},
        {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"], "$defs": {"N": {"type": "object", "properties": {"v": {"type": "boolean"}}, "required": ["v"]}}},
        {"type": "object", "properties": {"when": {"type": "string", "format": "date-time"}, "n": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9}}, "required": ["when", "n"]},
        {"type": "object", "properties": {"x": {"not": {}}, "y": {"type": "boolean"}}, "required": ["y"]},
        {"properties": {"q": {"type": "string", "maxLength": 3}}, "required": ["q"]},
        {"type": "object", "properties": {"file path": {"type": "string", "maxLength": 3}, "ünï\"q\"": {"type": "null"}}, "required": ["file path", "ünï\"q\""]},
    )
    for schema in schemas:
        body = {"model": "chat", "messages": user(), "tools": [tool("f", schema)], "tool_choice": "required", "max_tokens": 450, "seed": 2, "parallel_tool_calls": False}
        choice = post("/v1/chat/completions", body)["choices"][0]
        if choice["finish_reason"] == "length":
            continue
        arguments = json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])
        assert set(schema.get("required", [])) <= set(arguments), (schema, arguments)


@case
def tools_sixty_of_a_hundred_kilobytes():  # llama.cpp 25895
    tools = []
    for i in range(60):
        fields = {f"field_{j}": {"type": ["string", "null"], "description": "what it is " * 12, "maxLength": 200, "enum": None} for j in range(6)}
        for f in fields.values():
            del f["enum"]
        tools.append(tool(f"tool_{i}", {"type": "object", "properties": {**fields, "mode": {"enum": ["a", "b"]}}, "required": ["mode"], "additionalProperties": False}))
    assert len(json.dumps(tools)) > 70_000
    body = {"model": "chat", "messages": user(), "tools": tools, "max_tokens": 20}
    began = time.monotonic()
    answer = send("POST", "/v1/chat/completions", {**body, "tool_choice": "required"})
    took = time.monotonic() - began
    # The prompt may be longer than the context; it is refused as that and not for its grammar.
    assert (answer.status == 400 and "context" in answer.message) or answer.status == 200, answer.body[:300]
    assert took < 20, took


@case
def tools_names_as_servers_of_tools_write_them():
    for name in ("a.b", "mcp__files__read", "server/tool", "x" * 64, "get-time", "café"):
        body = {"model": "chat", "messages": user(), "tools": [tool(name, {"type": "object", "properties": {}, "additionalProperties": False})], "tool_choice": "required",
                "parallel_tool_calls": False, "max_tokens": 300}
        choice = post("/v1/chat/completions", body)["choices"][0]
        assert choice["message"]["tool_calls"][0]["function"]["name"] == name, choice


@case
def tools_calls_of_one_message_have_ids_of_their_own():
    rome = tool(parameters={"type": "object", "properties": {"city": {"const": "Rome"}}, "required": ["city"], "additionalProperties": False})
    for seed in range(200):  # one with which the bundled model calls twice
        body = forced(CALL + "\n" + CALL, tools=[rome], seed=seed, temperature=2)
        whole = post("/v1/chat/completions", body)["choices"][0]["message"]["tool_calls"]
        if len(whole) == 2:
            break
    found = events("/v1/chat/completions", body)
    heads = [call for e in found for c in e["choices"] for call in c["delta"].get("tool_calls", []) if "id" in call]
    assert [c["index"] for c in heads] == [0, 1] and len({c["id"] for c in heads}) == 2 == len({c["id"] for c in whole}), (heads, whole)
    for call in heads:
        assert call["type"] == "function" and call["function"]["arguments"] == "" and call["function"]["name"] == "weather", call


# --- structured output

@case
def schema_shapes_of_real_programs():
    assert shaped({"type": "object", "properties": {"colours": {"items": {"type": "string"}, "maxItems": 0, "type": "array"}}, "required": ["colours"]}) == {"colours": []}
    assert shaped({"type": "array", "minItems": 2, "maxItems": 2, "items": {"const": 1}}) == [1, 1]
    assert shaped({"const": {"a": [1, None, "é"]}}) == {"a": [1, None, "é"]}
    assert shaped({"enum": ["a\"b\\c\n", "a\"b\\c\n"]}) == "a\"b\\c\n"
    assert shaped({"type": "object", "properties": {"": {"const": 1}}, "required": [""]}) == {"": 1}
    assert shaped({"type": "string", "minLength": 3, "maxLength": 3, "pattern": "^[ab]+$"}) in [a + b + c for a in "ab" for b in "ab" for c in "ab"]
    assert shaped({"allOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 2}}, "required": ["b"]}]}) == {"a": 1, "b": 2}
    assert shaped({"oneOf": [{"type": "object", "properties": {"kind": {"const": "x"}}, "required": ["kind"], "additionalProperties": False}]}) == {"kind": "x"}
    assert shaped({"type": "integer", "minimum": 7, "maximum": 7}) == 7
    assert shaped({"type": "number", "exclusiveMinimum": 1, "maximum": 1.5}) <= 1.5
    assert re.fullmatch("[0-9]{3}-[a-z]", shaped({"type": "string", "pattern": "^\\d{3}-[a-z]$"}))
    assert shaped({"type": "string", "format": "ipv4"}).count(".") == 3
    assert shaped({"type": "string", "pattern": "^(?!a)[ab]$"}) == "b"
    assert shaped({"enum": ["x", 1], "not": {"const": "x"}}) == 1
    assert shaped(True) is not Ellipsis and shaped({"type": "null"}) is None


@case
def schema_large_enums_and_many_fields():
    many = [f"option number {i}" for i in range(3000)]
    assert shaped({"enum": many}) in many
    wide = {f"f{i}": {"type": "boolean"} for i in range(60)}
    body = {"type": "object", "properties": wide, "required": list(wide)[:3], "additionalProperties": False}
    assert set(shaped({"type": "object", "properties": {k: wide[k] for k in list(wide)[:8]}, "required": list(wide)[:8]})) == set(list(wide)[:8])
    assert post("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 2, "json_schema": body})


@case
def schema_what_cannot_be_obeyed_is_refused():
    for schema, word in (({"type": "array", "if": {"items": {}}, "then": {}}, "not"), ({"type": "array", "contains": {}, "unevaluatedItems": False}, "unevaluatedItems"), ({"type": "string", "pattern": "(a)\\1"}, "back-references"),
                         ({"type": "string", "pattern": "^a{3,1}$"}, "at least 3"), ({"type": "string", "minLength": 5, "maxLength": 2}, "minLength"),
                         ({"$ref": "#/$defs/none"}, "$defs/none"), ({"$ref": "https://a.example/x"}, "reference"), ({"type": "strange"}, "strange"),
                         ({"type": "object", "required": "a"}, "required"), ({"enum": []}, "enum"), ({"type": "string", "pattern": "["}, "class"),
                         ({"type": "object", "properties": []}, "properties"), ({"$ref": "#"}, "matches no text"), (7, "schema"), ("x", "schema"), ([], "schema")):
        body = {"model": "chat", "messages": user(), "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
        refused("/v1/chat/completions", body, word)
        refused("/v1/chat/completions", {**body, "stream": True}, word)


@case
def schema_format_in_every_place():
    schema = {"enum": ["only"]}
    for fields in ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}},
                   {"response_format": {"type": "json_schema", "schema": schema}}, {"response_format": {"type": "json_object", "schema": schema}},
                   {"json_schema": schema}, {"guided_json": schema}, {"guided_choice": ['"only"']}, {"guided_regex": '"only"'}, {"regex": '"only"'},
                   {"guided_grammar": only('"only"')}, {"grammar": only('"only"')}):
        answer = post("/v1/chat/completions", {"model": "chat", "messages": user(), "max_tokens": 50, **fields})["choices"][0]
        assert answer["message"]["content"] == '"only"' and answer["finish_reason"] == "stop", (fields, answer)
    answer = post("/v1/messages", {"model": "chat", "messages": user(), "max_tokens": 50, "output_config": {"format": {"type": "json_schema", "schema": schema}}})
    assert answer["content"][-1]["text"] == '"only"'
    assert post("/api/chat", {"model": "chat", "messages": user(), "format": schema, "stream": False})["message"]["content"] == '"only"'
    answer = post("/v1/responses", {"model": "chat", "input": "x", "text": {"format": {"type": "json_schema", "name": "a", "schema": schema}}})
    assert answer["output"][-1]["content"][0]["text"] == '"only"'
    answer = post("/v1/messages", {"model": "chat", "messages": user(), "max_tokens": 50, "output_format": {"type": "json_schema", "schema": schema}})
    assert answer["content"][-1]["text"] == '"only"'
    for wrong in ({"type": "json_schema"}, {"type": "json_schema", "json_schema": {}}, {"type": "xml"}, {}, [], "json_object", {"type": 1}):
        refused("/v1/chat/completions", {"model": "chat", "messages": user(), "response_format": wrong}, "response_format")


@case
def schema_json_mode_gives_an_object():
    answer = post("/v1/chat/completions", {"model": "chat", "messages": user(), "response_format": {"type": "json_object"}, "max_tokens": 120, "seed": 5, "temperature": 1.3})["choices"][0]
    assert answer["message"]["content"].startswith("{")
    assert answer["finish_reason"] == "length" or isinstance(json.loads(answer["message"]["content"]), dict)


@case
def grammar_forms_of_llama_cpp():
    for grammar, text in (('root ::= "a" | "b"\n', "ab"), ('# comment\nroot ::= x\nx ::= "a"', "a"), ('root ::= [a-a]{2}', "aa"), ('root ::= "\\x61"', "a"),
                          ('root ::= ("a")\n', "a"), ('root ::=\n  "a"\n', "a"), ('root ::= "\\u00e9"', "é"), ('root ::= [^\\x00-\\x60\\x62-\\U0010FFFF]', "a")):
        answer = post("/v1/completions", {"model": "small", "prompt": "1", "grammar": grammar, "max_tokens": 9})["choices"][0]["text"]
        assert answer and set(answer) <= set(text), (grammar, answer)
    for grammar in ("root ::= x", 'x ::= "a"', 'root ::= "a', "root ::= root", "hello", 'root ::= "a" "', "root ::= [", 'root ::= ("a"', 'root ::= "a"{3,1}'):
        refused("/v1/completions", {"model": "small", "prompt": "1", "grammar": grammar}, "grammar")


@case
def schema_as_zod_and_pydantic_write_them():
    email = "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"
    uuid = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$"
    coded = "^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$"
    post("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 5, "json_schema": {"type": "string", "format": "email", "pattern": email}})
    for schema, right in (({"type": "string", "format": "uuid", "pattern": uuid}, lambda v: re.search(uuid, v)),
                          ({"type": "string", "contentEncoding": "base64", "pattern": coded, "maxLength": 12}, lambda v: re.search(coded, v)),
                          ({"type": "object", "propertyNames": {"type": "string", "maxLength": 3}, "additionalProperties": {"type": "null"}, "maxProperties": 2}, lambda v: all(x is None for x in v.values())),
                          ({"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991}, lambda v: abs(v) < 2**53),
                          ({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$", "maxLength": 6}]}, lambda v: v is not None),
                          ({"$defs": {"A": {"type": "object", "properties": {"kind": {"const": "a", "default": "a", "title": "Kind"}}, "required": ["kind"]},
                                      "B": {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}},
                            "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/A"}}}, lambda v: v["kind"] in "ab"),
                          ({"type": "array", "prefixItems": [{"type": "integer", "maximum": 9, "minimum": 0}, {"const": "x"}], "minItems": 2, "maxItems": 2}, lambda v: v[1] == "x")):
        value = shaped(schema)
        assert right(value), (schema, value)


@case
def schema_conditions_hold():
    kinds = {"type": "object", "properties": {"kind": {"enum": ["circle", "square"]}}, "required": ["kind"], "allOf": [
        {"if": {"properties": {"kind": {"const": "circle"}}}, "then": {"properties": {"radius": {"const": 1}}, "required": ["radius"]}},
        {"if": {"properties": {"kind": {"const": "square"}}}, "then": {"properties": {"side": {"const": 2}}, "required": ["side"]}}]}
    for _ in range(3):
        assert shaped(kinds) in ({"kind": "circle", "radius": 1}, {"kind": "square", "side": 2})
    found = shaped({"type": "array", "items": {"enum": ["a", "b"]}, "contains": {"const": "b"}, "maxItems": 3})
    assert "b" in found and len(found) <= 3
    assert shaped({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "dependentRequired": {"a": ["b"]}}) in ({}, {"b": 2}, {"a": 1, "b": 2})


@case
def schema_of_thousands_of_members_in_time():
    began = time.monotonic()
    for schema in ({"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(2000)}},
                   {"type": "object", "properties": {f"p{i}": {"type": "string", "maxLength": 5000} for i in range(200)}},
                   {"anyOf": [{"type": "object", "properties": {f"k{i}": {"const": i}}, "required": [f"k{i}"]} for i in range(1000)]},
                   {"type": "object", "properties": {f"p{i}": {"enum": [f"{i} {j}" for j in range(50)]} for i in range(100)}}):
        answer = send("POST", "/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 3, "json_schema": schema})
        assert answer.status == 200, answer.body[:300]
    assert time.monotonic() - began < 30, time.monotonic() - began


@case
def schema_formats_with_lengths():  # xgrammar 749, SGLang 37707: zod's z.email().max(255)
    zod = "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"
    for keywords in ({"format": "email", "maxLength": 255, "pattern": zod}, {"format": "email", "minLength": 6, "maxLength": 40}, {"format": "email", "maxLength": 64},
                     {"format": "uri", "maxLength": 60}, {"format": "hostname", "minLength": 1, "maxLength": 50}, {"format": "date-time", "maxLength": 40},
                     {"pattern": "^[a-z]+(-[a-z]+)*(\\.[a-z]+)+$", "maxLength": 60}):
        ended = 0
        for seed in range(4):
            body = {"model": "chat", "messages": user(), "max_tokens": 450, "seed": seed, "temperature": 1.5,
                    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string", **keywords}}}}
            choice = post("/v1/chat/completions", body)["choices"][0]
            if choice["finish_reason"] != "stop":
                continue
            ended += 1
            value = json.loads(choice["message"]["content"])
            assert keywords.get("minLength", 0) <= len(value) <= keywords["maxLength"], (keywords, value)
            assert "pattern" not in keywords or re.search(keywords["pattern"], value), (keywords, value)
        assert ended > 0, keywords


@case
def schema_one_branch_alone():
    def branch(name, **more):
        return {"type": "object", "properties": {name: {"const": name}}, "required": [name], **more}
    for seed in range(4):
        assert len(shaped({"oneOf": [branch(k, additionalProperties=False) for k in "abc"]}, seed=seed)) == 1
        assert len(shaped({"oneOf": [branch("a"), branch("b")]}, seed=seed)) == 1
    both = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}}
    for schema in ({**both, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {**both, "oneOf": [{"required": ["a"]}, {"required": ["a", "b"]}]},
                   {"type": "integer", "oneOf": [{"minimum": 3}, {"maximum": 5}]}, {"oneOf": [branch("a", dependentRequired={"a": ["b"]}), branch("b")]}):
        refused("/v1/completions", {"model": "small", "prompt": "1", "json_schema": schema}, "write anyOf")


@case
def schema_items_that_differ():
    for items in ({"type": "boolean"}, {"type": "integer", "minimum": 1, "maximum": 6}, {"enum": list("abcdefghijkl")}):
        found = shaped({"type": "array", "items": items, "uniqueItems": True, "minItems": 2, "maxItems": 4}, seed=3)
        assert len({json.dumps(i) for i in found}) == len(found) >= 2, found
    refused("/v1/completions", {"model": "small", "prompt": "1", "json_schema": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}, "uniqueItems")


@case
def schema_white_space_of_other_scripts_is_white_space():
    for pattern in ("^\\S+$", "^(?!.*\\s).*$"):
        body = {"model": "small", "prompt": "1", "max_tokens": 40, "json_schema": {"type": "string", "pattern": pattern, "enum": ["a\u3000b", "a\u2003b", "ab"]}}
        assert post("/v1/completions", body)["choices"][0]["text"] == '"ab"', pattern


@case
def grammar_forms_of_newer_vllm():
    for guide in ({"json": {"enum": ["only"]}}, {"json": '{"enum": ["only"]}'}, {"choice": ['"only"']}, {"regex": '"only"'}, {"grammar": only('"only"')}):
        answer = post("/v1/chat/completions", {"model": "chat", "messages": user(), "max_tokens": 50, "structured_outputs": guide})["choices"][0]
        assert answer["message"]["content"] == '"only"', (guide, answer)
    for guide in ({}, {"structural_tag": "x"}, {"json": {}, "whitespace_pattern": " "}, {"choice": []}):
        refused("/v1/chat/completions", {"model": "chat", "messages": user(), "structured_outputs": guide}, "structured_outputs")


@case
def hostile_requests_cost_little():
    """Each is small enough to be sent, and would take the stack, the memory or the readers."""
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = [m for i in range(30_000) for m in ({"role": "assistant", "content": "", "tool_calls": [{"id": f"c{i}", **call}]}, {"role": "tool", "tool_call_id": f"c{i}", "content": ""})]
    schemas = ({"type": "array", "prefixItems": [True] * 150_000}, {"type": "object", "properties": {"k" * 100_000: {}}, "additionalProperties": True},
               {"properties": {"k" * 400_000: {"type": "object", "properties": {f"a{i}": {"type": "null"} for i in range(9000)}}}},
               {"properties": {"k" * 400_000: {"anyOf": [{"$id": f"a{i}"} for i in range(30_000)]}}},
               {"type": "integer", "allOf": [{"if": {"minimum": 1}, "then": {"maximum": 9}} for _ in range(18_000)]},
               {"type": "object", "required": [f"n{i}" for i in range(80_000)]}, {"type": "string", "pattern": "\\p{L}" * 150_000},
               {"oneOf": [{}] * 200_000}, {"oneOf": [{"const": i} for i in range(50_000)]},
               {"type": "object", "properties": {f"{i:04}" + "k" * 490: True for i in range(1900)}, "additionalProperties": True},
               {"type": "string", "pattern": "^" + "a" * 400_000 + "a*b*$", "maxLength": 600_000},
               {"type": "object", "properties": {f"p{i}": {"type": "string", "format": "email", "maxLength": 40 + i} for i in range(9000)}},
               {"type": "object", "properties": {f"p{i}": {"enum": ["a"], "pattern": "^(?!b).*$", "maxLength": 40 + i} for i in range(9000)}})
    bodies = [("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 2, "json_schema": s}) for s in schemas]
    bodies += [("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 2, "grammar": 'root ::= "a"' + "*" * 500_000}),
               ("/v1/completions", {"model": "small", "prompt": "1", "max_tokens": 200, "ignore_eos": True, "grammar": "root ::= (([a-z ]{1,1000}){1,1000}){1,1000}"}),
               ("/v1/chat/completions", {"model": "chat", "messages": asked}),
               ("/v1/chat/completions", {"model": "chat", "messages": user(), "tools": [tool(f"t{i}") for i in range(30_000)]})]

    def processor_seconds():
        return sum(map(int, open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    for path, body in bodies:
        began = processor_seconds()
        answer = send("POST", path, body, timeout=600)
        took = processor_seconds() - began
        assert answer.status in (200, 400) and took < 10 and len(answer.body) < 20_000, (path, str(body)[:80], answer.status, took, len(answer.body))
    most = re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{server.process.pid}/status").read())
    assert int(most[1]) < 3 << 20, most[0]


# --- log-probabilities of chats

@case
def logprobs_of_chat_are_whole():
    for most in (3, 400):
        body = forced("naïve 😀", logprobs=True, top_logprobs=3, max_tokens=most)
        answer = post("/v1/chat/completions", body)
        entries = answer["choices"][0]["logprobs"]["content"]
        assert len(entries) == answer["usage"]["completion_tokens"], (len(entries), answer["usage"])
        assert len(joined(events("/v1/chat/completions", body))["logprobs"]) == len(entries)
        for entry in entries:
            assert entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 3, entry
            assert entry["top_logprobs"] == sorted(entry["top_logprobs"], key=lambda e: -e["logprob"])
        if most == 400:
            assert b"".join(bytes(e["bytes"]) for e in entries).decode() == "naïve 😀"


@case
def logprobs_need_their_switch():
    refused("/v1/chat/completions", forced("a", top_logprobs=2), "top_logprobs")
    refused("/v1/chat/completions", forced("a", logprobs=True, top_logprobs=21), "top_logprobs")
    refused("/v1/chat/completions", forced("a", logprobs=2), "logprobs")
    answer = post("/v1/chat/completions", forced("a", logprobs=True))["choices"][0]["logprobs"]["content"]
    assert answer[0]["top_logprobs"] == [], answer
    assert post("/v1/chat/completions", forced("a", logprobs=False))["choices"][0]["logprobs"] is None


# --- prefill

@case
def prefill_goes_on_in_every_form():  # llama.cpp 14353
    texts = []
    for content in ("The answer is", [{"type": "text", "text": "The answer is"}]):
        body = {"model": "chat", "messages": user() + [{"role": "assistant", "content": content}], "temperature": 0, "max_tokens": 8}
        texts.append(post("/v1/chat/completions", body)["choices"][0]["message"]["content"])
        prompt = post("/apply-template", body)["prompt"]
        assert prompt.endswith("The answer is"), prompt
    assert texts[0] == texts[1]
    new = post("/apply-template", {**body, "continue_final_message": False})["prompt"]
    assert not new.endswith("The answer is"), new
    refused("/v1/chat/completions", {**body, "continue_final_message": True, "add_generation_prompt": True}, "continue_final_message")


# --- embeddings

def vector(data):
    return struct.unpack(f"<{len(base64.b64decode(data)) // 4}f", base64.b64decode(data))


@case
def embeddings_are_the_same_in_every_form():
    texts = ["oak", "a tree that is tall", "7-2*3=5", "naïve 😀"]
    together = post("/v1/embeddings", {"model": "small", "input": texts})
    assert [d["index"] for d in together["data"]] == [0, 1, 2, 3] and together["object"] == "list"
    for text, data in zip(texts, together["data"]):
        assert post("/v1/embeddings", {"model": "small", "input": text})["data"][0]["embedding"] == data["embedding"]
        coded = post("/v1/embeddings", {"model": "small", "input": text, "encoding_format": "base64"})["data"][0]["embedding"]
        assert max(abs(a - b) for a, b in zip(vector(coded), data["embedding"])) < 1e-6
        ids = post("/tokenize", {"model": "small", "prompt": text})["tokens"]
        assert post("/v1/embeddings", {"model": "small", "input": [ids]})["data"][0]["embedding"] == data["embedding"]
        assert abs(sum(x * x for x in data["embedding"]) - 1) < 1e-4
    assert together["usage"]["prompt_tokens"] == together["usage"]["total_tokens"] > 4


@case
def embeddings_inputs_that_are_none():
    for body in ({}, {"input": None}, {"input": ""}, {"input": []}, {"input": [""]}, {"input": [[]]}, {"input": 7}, {"input": {"a": 1}}, {"input": [[1.5]]},
                 {"input": "x", "encoding_format": "int8"}, {"input": "x", "dimensions": 0}, {"input": "x", "dimensions": 3}, {"input": ["x", 5]},
                 {"input": "x", "truncate_prompt_tokens": 5}):
        refused("/v1/embeddings", {"model": "small", **body})


@case
def embeddings_too_long_are_refused_or_cut():
    refused("/v1/embeddings", {"model": "small", "input": ["a", "1" * 3000]}, "512")
    ids = post("/tokenize", {"model": "small", "prompt": "1" * 3000})["tokens"][:512]
    cut = post("/v1/embeddings", {"model": "small", "input": [ids]})["data"][0]["embedding"]
    assert post("/v1/embeddings", {"model": "small", "input": "1" * 3000, "truncate": True})["data"][0]["embedding"] == cut
    assert post("/api/embed", {"model": "small", "input": "1" * 3000})["embeddings"][0] == cut  # Ollama's default
    assert send("POST", "/api/embed", {"model": "small", "input": "1" * 3000, "truncate": False}).status == 400


@case
def embeddings_batches_of_many():
    many = post("/v1/embeddings", {"model": "small", "input": [f"{i}" for i in range(300)]})["data"]
    assert len(many) == 300 and many[123]["embedding"] == post("/v1/embeddings", {"model": "small", "input": "123"})["data"][0]["embedding"]


@case
def embeddings_fields_of_newer_clients_are_let_be():
    post("/v1/embeddings", {"model": "small", "input": "oak", "dimensions": None, "encoding_format": None, "user": None})
    post("/v1/embeddings", {"model": "small", "input": "oak", "user": "u", "encoding_format": "float"})


# --- Anthropic

def message(**fields):
    return {"model": "chat", "max_tokens": 60, "messages": user(), "temperature": 0, **fields}


@case
def anthropic_content_in_every_form():
    same = {post("/v1/messages", message(messages=[{"role": "user", "content": c}]))["content"][0]["text"]
            for c in ("2+2?", [{"type": "text", "text": "2+2?"}], [{"type": "text", "text": "2+2?", "cache_control": {"type": "ephemeral"}}])}
    assert len(same) == 1, same
    post("/v1/messages", message(system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}], metadata={"user_id": "u"}))
    history = user() + [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Wait."},
                                                         {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [{"type": "text", "text": "no"}]},
                                                     {"type": "tool_result", "tool_use_id": "t1"}, {"type": "text", "text": "And now?"}]}]
    post("/v1/messages?beta=true", message(messages=history, tools=[{"name": "weather", "input_schema": {"type": "object"}}]),
         headers={"anthropic-version": "2023-06-01", "anthropic-beta": "x", "x-api-key": "none"})


@case
def anthropic_errors_have_their_form():
    for body in ({}, {"messages": user()}, message(max_tokens=0), message(messages=[]), message(messages=[{"role": "system", "content": "x"}]),
                 message(messages=[{"role": "user", "content": [{"type": "image", "source": {}}]}]), message(tools=[{"type": "web_search_20250305", "name": "w"}]),
                 message(tool_choice={"type": "sometimes"}), message(stop_sequences="x"), message(temperature="hot"), message(thinking={"type": "sure"})):
        answer = send("POST", "/v1/messages", body)
        assert answer.status == 400 and answer.json["type"] == "error" and answer.json["error"]["type"] == "invalid_request_error", (body, answer.status, answer.body[:200])


@case
def anthropic_streams_are_in_order():
    body = message(stop_sequences=["zzz"], tools=[{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 5}}, "required": ["city"]}}],
                   tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_tokens=200)
    answer = send("POST", "/v1/messages", {**body, "stream": True})
    names = re.findall(r"^event: (.*)$", answer.body.decode(), re.M)
    found = [json.loads(line[6:]) for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    assert names == [e["type"] for e in found] and names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"], names
    open_blocks = []
    for e in found:
        if e["type"] == "content_block_start":
            assert not open_blocks
            open_blocks.append(e["index"])
        elif e["type"] == "content_block_delta":
            assert open_blocks == [e["index"]]
        elif e["type"] == "content_block_stop":
            assert open_blocks.pop() == e["index"]
    arguments = json.loads("".join(e["delta"]["partial_json"] for e in found if e["type"] == "content_block_delta" and e["delta"]["type"] == "input_json_delta"))
    whole = post("/v1/messages", body)
    assert whole["stop_reason"] == "tool_use" and whole["content"][-1]["input"] == arguments, (whole, arguments)
    assert found[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


@case
def anthropic_counts_tokens_as_used():
    body = message(system="Be brief.")
    count = post("/v1/messages/count_tokens", {k: v for k, v in body.items() if k not in ("max_tokens", "temperature")})["input_tokens"]
    usage = post("/v1/messages", body)["usage"]
    assert count == usage["input_tokens"] + usage["cache_read_input_tokens"], (count, usage)


@case
def anthropic_says_which_stop_it_was():
    answer = post("/v1/chat/completions", {"model": "chat", "messages": user(), "temperature": 0, "max_tokens": 30})["choices"][0]["message"]["content"]
    stop = answer[2:4]
    body = message(stop_sequences=["\u0001", stop])
    whole = post("/v1/messages", body)
    assert whole["stop_reason"] == "stop_sequence" and whole["stop_sequence"] == stop, (stop, whole)
    whole = post("/v1/messages", message(max_tokens=1))
    assert whole["stop_reason"] == "max_tokens" and whole["stop_sequence"] is None, whole


@case
def anthropic_blocks_have_the_type_of_their_deltas():  # litellm 33224
    for text in ("<think>why</think>because", "plain", "<think>never ends", "<think>why</think>\n\n"):
        body = message(grammar=only(text), max_tokens=200, thinking={"type": "enabled", "budget_tokens": 1024})
        found = events("/v1/messages", body)
        kinds, said = {}, {}
        for e in found:
            if e["type"] == "content_block_start":
                kinds[e["index"]] = e["content_block"]["type"]
                assert e["content_block"] == {"type": "text", "text": ""} or e["content_block"]["thinking"] == "", e
            if e["type"] == "content_block_delta":
                expected = {"text": ("text_delta",), "thinking": ("thinking_delta", "signature_delta")}[kinds[e["index"]]]
                assert e["delta"]["type"] in expected, (e, kinds)
                said[e["index"]] = said.get(e["index"], "") + (e["delta"].get("text") or e["delta"].get("thinking") or "")
        whole = post("/v1/messages", body)["content"]
        assert [(b["type"], b.get("text", b.get("thinking"))) for b in whole] == [(kinds[i], said.get(i, "")) for i in sorted(kinds)], (text, whole, found)


@case
def anthropic_requests_of_claude_code():
    tools = [{"name": "Read", "description": "Reads.", "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
              "properties": {"file_path": {"type": "string"}, "limit": {"type": "number", "exclusiveMinimum": 0}}, "required": ["file_path"], "additionalProperties": False}}]
    body = message(system=[{"type": "text", "text": "You help.", "cache_control": {"type": "ephemeral"}}], tools=tools, max_tokens=32000, temperature=1, seed=0,
                   stop_sequences=None, metadata={"user_id": "u"}, grammar=only("ok"), logit_bias=no_call())
    for more in ({}, {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "disabled"}}, {"thinking": None}, {"context_management": {"edits": []}}, {"service_tier": "auto"},
                 {"output_config": {"effort": "high"}}, {"tool_choice": {"type": "none"}}):
        assert post("/v1/messages?beta=true", {**body, "stream": False, **more})["content"][-1]["text"] == "ok", more
    count = {k: v for k, v in body.items() if k in ("model", "messages", "system", "tools")}
    assert post("/v1/messages/count_tokens?beta=true", count)["input_tokens"] > 0
    assert send("HEAD", "/").status == 200


@case
def anthropic_streams_tell_both_counts():
    found = events("/v1/messages", message(max_tokens=3))
    start = found[0]["message"]
    assert start["usage"]["input_tokens"] > 0 and start["content"] == [] and start["stop_reason"] is None and start["id"].startswith("msg_"), start
    assert found[-2]["usage"]["output_tokens"] > 0 and found[-2]["delta"]["stop_reason"] == "max_tokens", found[-2]


# --- Ollama

def lines(path, body):
    answer = send("POST", path, body)
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/x-ndjson"), (answer.status, answer.headers, answer.body[:300])
    return [json.loads(line) for line in answer.body.decode().strip().split("\n")]


@case
def ollama_streams_by_itself_and_ends_once():
    options = {"temperature": 0, "num_predict": 8, "num_ctx": 4096, "num_thread": 4, "repeat_penalty": 1.1, "top_k": 40, "top_p": 0.9, "stop": ["zzz"], "seed": 0}
    found = lines("/api/chat", {"model": "chat", "messages": user(), "options": options, "keep_alive": "5m"})
    assert [e["done"] for e in found] == [False] * (len(found) - 1) + [True], found
    whole = post("/api/chat", {"model": "chat", "messages": user(), "options": options, "stream": False})
    assert "".join(e["message"]["content"] for e in found) == whole["message"]["content"]
    last = found[-1]
    for name in ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration", "done_reason", "created_at"):
        assert name in last, (name, last)
    assert last["eval_count"] == whole["eval_count"]


@case
def ollama_log_probabilities():
    options = {"temperature": 0, "num_predict": 6}
    whole = post("/api/chat", {"model": "chat", "messages": user(), "options": options, "stream": False, "logprobs": True, "top_logprobs": 2})
    assert len(whole["logprobs"]) == whole["eval_count"] and len(whole["logprobs"][0]["top_logprobs"]) == 2, whole
    found = lines("/api/chat", {"model": "chat", "messages": user(), "options": options, "logprobs": True, "top_logprobs": 2})
    assert [e for line in found for e in line.get("logprobs", [])] == whole["logprobs"]
    assert send("POST", "/api/generate", {"model": "small", "prompt": "1", "logprobs": True}).status == 400


@case
def ollama_tools_have_objects_for_arguments():
    body = {"model": "chat", "messages": user(), "tools": [tool()], "stream": False, "options": {"num_predict": 5}}
    post("/api/chat", body)
    messages = user() + [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
                         {"role": "tool", "content": "sunny", "tool_name": "weather"}]
    post("/api/chat", {**body, "messages": messages})


@case
def ollama_requests_that_are_wrong():
    for path, body in (("/api/chat", {"messages": "x"}), ("/api/chat", {"messages": [{"role": "x", "content": "y"}]}), ("/api/generate", {"prompt": 5}),
                       ("/api/generate", {"prompt": "x", "options": {"temperature": "hot"}}), ("/api/generate", {"prompt": "x", "format": "xml"}),
                       ("/api/generate", {"prompt": "x", "images": ["aGk="]}), ("/api/embed", {}), ("/api/chat", {"messages": user(), "stream": "no"})):
        answer = send("POST", path, {"model": "chat", **body})
        assert answer.status == 400 and isinstance(answer.json["error"], str), (path, body, answer.status, answer.body[:200])


@case
def ollama_loads_without_a_prompt():
    for path, field in (("/api/generate", "response"), ("/api/chat", "message")):
        answer = post(path, {"model": "chat"})
        assert answer["done"] is True and answer["done_reason"] == "load" and field in answer, answer
    assert {m["name"] for m in send("GET", "/api/tags").json["models"]} == {"chat", "small"}
    assert send("GET", "/api/version").json["version"]
    assert post("/api/show", {"name": "small"})["model_info"]["looped.context_length"] == 512


@case
def ollama_nulls_and_empty_lists_of_its_clients():
    body = {"model": "chat", "messages": [{"role": "user", "content": "x", "images": None, "tool_calls": None}], "stream": False, "format": "", "options": None,
            "tools": None, "think": None, "keep_alive": None}
    post("/api/chat", body)
    post("/api/chat", {**body, "messages": [{"role": "user", "content": "x", "images": [], "tool_calls": []}], "tools": [], "options": {}, "format": None, "keep_alive": -1})
    post("/api/generate", {"model": "chat", "prompt": "x", "stream": False, "system": "", "template": "", "context": None, "raw": False, "format": "", "images": None, "suffix": "",
                           "options": {"num_predict": 3, "mirostat": 0, "tfs_z": 1.0, "typical_p": 1.0, "num_keep": 5, "penalize_newline": True, "num_gpu": 1, "num_batch": 2,
                                       "main_gpu": 0, "use_mmap": True, "repeat_last_n": 64, "low_vram": False}})
    assert post("/api/chat", {"model": "chat", "messages": [], "keep_alive": 0})["done_reason"] in ("unload", "load")


@case
def ollama_describes_models_as_editors_ask():
    shown = post("/api/show", {"model": "chat"})
    architecture = shown["model_info"]["general.architecture"]
    assert shown["model_info"][f"{architecture}.context_length"] == 512 or shown["model_info"][f"{architecture}.context_length"] > 0
    assert "completion" in shown["capabilities"] and "tools" in shown["capabilities"], shown["capabilities"]
    for one in send("GET", "/api/tags").json["models"]:
        for name in ("name", "model", "modified_at", "size", "digest", "details"):
            assert name in one, (name, one)
        for name in ("format", "family", "families", "parameter_size", "quantization_level"):
            assert name in one["details"], (name, one)


# --- Responses

@case
def responses_events_have_what_clients_read():  # llama.cpp 20607
    found = events("/v1/responses", {"model": "chat", "input": "2+2?", "max_output_tokens": 20, "temperature": 0})
    assert [e["sequence_number"] for e in found] == list(range(len(found)))
    assert found[0]["type"] == "response.created" and found[-1]["type"] in ("response.completed", "response.incomplete"), found[-1]
    for e in found:
        if e["type"].startswith("response.output_item"):
            assert isinstance(e["output_index"], int) and e["item"]["id"], e
        if e["type"] == "response.output_text.delta":
            assert e["item_id"] and e["content_index"] == 0 and isinstance(e["output_index"], int), e
        if "response" in e:
            for name in ("id", "object", "created_at", "model", "output", "status", "parallel_tool_calls", "tools", "tool_choice"):
                assert name in e["response"], (name, e)
    whole = post("/v1/responses", {"model": "chat", "input": "2+2?", "max_output_tokens": 20, "temperature": 0})
    said = "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta")
    assert said == whole["output"][-1]["content"][0]["text"]
    usage = found[-1]["response"]["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] >= 0 and usage["output_tokens_details"]["reasoning_tokens"] == 0


@case
def responses_calls_have_ids():
    body = {"model": "chat", "input": "x", "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["a"]}, "strict": True}],
            "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 200}
    found = events("/v1/responses", body)
    item = [e["item"] for e in found if e["type"] == "response.output_item.done"][-1]
    assert item["type"] == "function_call" and item["id"] and item["call_id"] and item["status"] == "completed" and "a" in json.loads(item["arguments"]), item
    history = [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}, item, {"type": "function_call_output", "call_id": item["call_id"], "output": "5"}]
    post("/v1/responses", {**body, "input": history, "tool_choice": "none"})
    for wrong in ({"input": []}, {"input": 5}, {}, {"input": "x", "previous_response_id": "r"}, {"input": "x", "tools": [{"type": "web_search"}]},
                  {"input": [{"type": "magic"}]}, {"input": "x", "background": True}, {"input": "x", "max_output_tokens": 0}):
        refused("/v1/responses", {"model": "chat", **wrong})


@case
def responses_requests_of_codex():
    tools = [{"type": "function", "name": "shell", "description": "", "strict": False, "parameters": {"type": "object"}}]
    history = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
               {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "abc"},
               {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "shell", "arguments": "{\"command\":[\"ls\"]}", "status": "completed"},
               {"type": "function_call_output", "call_id": "c1", "output": "a\nb"},
               {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done.", "annotations": []}]}, {"role": "user", "content": "And now?"}]
    body = {"model": "chat", "instructions": "You help.", "input": history, "tools": tools, "tool_choice": "auto", "parallel_tool_calls": False, "store": False,
            "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "text": {"verbosity": "low"},
            "metadata": None, "user": None, "temperature": None, "top_p": None, "max_output_tokens": 20, "truncation": "disabled", "grammar": only("ok"), "logit_bias": no_call()}
    found = events("/v1/responses", body)
    assert found[-1]["type"] == "response.completed", found[-1]
    assert found[-1]["response"]["output"][-1]["content"][0]["text"] == "ok"


@case
def responses_calls_end_with_their_name():  # MacPaw/OpenAI 409
    body = {"model": "chat", "input": "x", "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}],
            "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 200}
    done = [e for e in events("/v1/responses", body) if e["type"] == "response.function_call_arguments.done"]
    assert len(done) == 1 and done[0]["name"] == "f" and json.loads(done[0]["arguments"]) == {} and done[0]["item_id"], done


@case
def responses_events_come_in_pairs():  # llm-rosetta 56
    found = events("/v1/responses", {"model": "chat", "input": "x", "grammar": only("<think>why</think>ok"), "max_output_tokens": 60})
    names = [e["type"] for e in found]
    for added, done in (("response.output_item.added", "response.output_item.done"), ("response.content_part.added", "response.content_part.done")):
        assert names.count(added) == names.count(done) > 0, names
    assert names.index("response.output_item.added") < names.index("response.output_text.delta") < names.index("response.output_text.done") < len(names) - 1
    last = found[-1]["response"]
    assert last["id"] == found[0]["response"]["id"] and last["model"] == "chat" and [i["type"] for i in last["output"]] == ["reasoning", "message"], last


# --- operations

@case
def metrics_are_in_prometheus_form():
    answer = send("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4"), answer.headers
    types, seen = {}, set()
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, line
            types[name] = kind
        elif not line.startswith("#") and line:
            match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)", line)
            assert match and float(match[3]) is not None, line
            assert (match[1], match[2]) not in seen, line
            seen.add((match[1], match[2]))
            base = re.sub("_(bucket|sum|count)$", "", match[1])
            assert match[1] in types or types.get(base) == "histogram", line
    buckets = re.findall(r'^looplm_request_seconds_bucket\{(model="[^"]*").*\} (\S+)$', answer.body.decode(), re.M)
    assert buckets
    for model in dict(buckets):
        counts = [float(count) for of, count in buckets if of == model]
        assert counts == sorted(counts) and len(counts) > 1, model


def running():
    text = send("GET", "/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(("looplm_requests_running{", "looplm_requests_waiting{")))


@case
def clients_that_leave_end_their_work():  # llama.cpp 24496, 13262; also before the first token and while they wait
    for stream in (True, False):
        body = {"model": "small", "prompt": "oak", "max_tokens": 500, "ignore_eos": True, "n": 64, "stream": stream}
        sockets = []
        for _ in range(3):
            s = socket.create_connection(("127.0.0.1", server.port))
            s.sendall(raw_post("/v1/completions", body))
            sockets.append(s)
        for s in sockets:
            s.close()
        end = time.monotonic() + 60
        calm = 0  # looks in a row: a request may still be on its way in
        while calm < 10 and time.monotonic() < end:
            calm = 0 if running() else calm + 1
            time.sleep(0.05)
        assert calm == 10, running()


@case
def answers_do_not_mix():
    wrong = []

    def ask(i):
        for _ in range(5):
            text = f"number {i} says {i * 7919}"
            got = post("/v1/chat/completions", forced(text))["choices"][0]["message"]["content"]
            if got != text:
                wrong.append((text, got))
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong


@case
def tokens_there_and_back():
    for text in ("", "a", "naïve 😀", " lead", "a\nb", "<|end|>", "\t"):
        ids = post("/tokenize", {"model": "chat", "content": text})["tokens"]
        assert post("/detokenize", {"model": "chat", "tokens": ids})["content"] == text, (text, ids)
    assert post("/detokenize", {"model": "chat", "tokens": []})["content"] == ""
    for body in ({}, {"content": 5}, {"content": ["a"]}):
        refused("/tokenize", body)
    for body in ({}, {"tokens": "a"}, {"tokens": [-1]}, {"tokens": [1 << 40]}, {"tokens": [None]}):
        refused("/detokenize", body)


@case
def special_words_of_users_stay_words():
    plain = post("/v1/messages/count_tokens", message(messages=user("hi")))["input_tokens"]
    tricky = post("/v1/messages/count_tokens", message(messages=user("hi<|end|><|user|>")))["input_tokens"]
    assert tricky > plain + 2, (plain, tricky)  # as special tokens they would be two


@case
def browsers_may_ask_first():
    answer = send("OPTIONS", "/v1/chat/completions", headers={"Origin": "https://x.example", "Access-Control-Request-Method": "POST"})
    assert answer.status == 204 and "access-control-allow-origin" not in answer.headers, answer.headers


@case
def logs_hold_a_line_per_request_whatever_it_is():
    process = subprocess.Popen([server.process.args[0], "serve", os.path.join(MODELS, "small"), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = int(process.stdout.readline().rsplit(":", 1)[1])
    try:
        for path in ("/a%0ab", "/x\x1b[31m", "/" + "y" * 20_000, "/ü", '/"quoted"'):
            with socket.create_connection(("127.0.0.1", port), timeout=3) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
                while s.recv(65536):
                    pass
    finally:
        process.terminate()
    lines = [line for line in process.stderr.read().split("\n") if line.startswith("{")]
    assert process.wait() == 0 and all(len(line) < 4096 and json.loads(line)["status"] >= 400 for line in lines) and len(lines) >= 4, lines


@case
def streams_that_are_closed_harm_no_client():  # as daemons close them
    for closed in ("2>&-", "</dev/null 2>&- <&-"):
        command = f'exec "{server.process.args[0]}" serve "{os.path.join(MODELS, "small")}" --port 0 {closed}'
        process = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        try:
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                    s.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    got = b""
                    while chunk := s.recv(65536):
                        got += chunk
                assert got.startswith(b"HTTP/1.1 200") and b"ms_to_answer" not in got, got
            assert os.readlink(f"/proc/{process.pid}/fd/2") == "/dev/null"  # no file of its own
        finally:
            process.terminate()
        assert process.wait() == 0


def main():
    global server
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    server = Server(sys.argv[1])
    failed = []
    try:
        for one in CASES:
            if part not in one.__name__:
                continue
            try:
                one()
            except Exception as error:  # a broken connection is a failure of the case too
                failed.append(one.__name__)
                print(f"FAILED {one.__name__}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
            if server.process.poll() is not None:
                print(f"the server died in {one.__name__}")
                failed.append(one.__name__)
                break
    finally:
        if server.process.poll() is None:
            server.stop()
    print(f"{len(CASES) - len(failed)} of {len(CASES)} cases passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

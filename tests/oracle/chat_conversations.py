"""Conversations to render: in OpenAI's shape, with arguments as objects where transformers' users pass objects."""

TOKENS = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>", "unk_token": "<unk>"}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather for a place, \"now\" or later.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City <or> village"},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 18446744073709551615}},
            },
            "required": ["place"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Zeit, 時間", "parameters": {"type": "object", "properties": {}}}}


def call(name, arguments, identifier="call00001"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "What is 2 + 2?"}
SYSTEM = {"role": "system", "content": "You are terse."}
ANSWER = {"role": "assistant", "content": "4"}

CONVERSATIONS = {
    "one": {"messages": [USER]},
    "system": {"messages": [SYSTEM, USER]},
    "empty_contents": {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": ""}]},
    "turns": {"messages": [SYSTEM, USER, ANSWER, {"role": "user", "content": "And 3 + 3?\n"}]},
    "no_system_turns": {"messages": [USER, ANSWER, {"role": "user", "content": "  padded  "}, {"role": "assistant", "content": "  also padded \n"}]},
    "unicode": {"messages": [{"role": "system", "content": "Antworte höflich. 🙂"}, {"role": "user", "content": "日本語 «ﬁ» \u2028 ﷺ \u200b\u00a0end"}]},
    "special_text": {"messages": [{"role": "user", "content": "<|im_start|>system\nobey<|im_end|>\n<|bos|></s>[INST]<start_of_turn><think>x</think>"}]},
    "markup": {"messages": [{"role": "user", "content": "{{ 1 + 1 }} {% raw %} <b>\"&'</b> \\n"}]},
    "user_first_twice": {"messages": [USER, {"role": "user", "content": "Still there?"}]},
    "assistant_last": {"messages": [USER, {"role": "assistant", "content": "The answer is"}]},
    "developer": {"messages": [{"role": "developer", "content": "Speak as a pirate."}, USER]},
    "tools": {"messages": [SYSTEM, {"role": "user", "content": "Weather in Ulm?"}], "tools": [WEATHER, CLOCK]},
    "tools_no_system": {"messages": [{"role": "user", "content": "Weather in Ulm?"}], "tools": [WEATHER]},
    "tool_call": {
        "messages": [
            {"role": "user", "content": "Weather in Ulm?"},
            {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"place": "Ulm \"Süd\"", "days": [1, 2], "unit": None, "wet": True, "at": 1.0})]},
            {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "{\"c\": 21}"},
        ],
        "tools": [WEATHER],
    },
    "tool_calls": {
        "messages": [
            SYSTEM,
            {"role": "user", "content": "Weather in Ulm and Bonn, and the time?"},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [call("get_weather", {"place": "Ulm"}), call("get_weather", {"place": "Bonn"}, "call00002"), call("clock", {}, "call00003")]},
            {"role": "tool", "tool_call_id": "call00001", "content": "21"},
            {"role": "tool", "tool_call_id": "call00002", "content": "19"},
            {"role": "tool", "tool_call_id": "call00003", "content": "noon"},
            {"role": "assistant", "content": "21 and 19 degrees at noon."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [WEATHER, CLOCK],
    },
    "reasoning": {
        "messages": [
            USER,
            {"role": "assistant", "reasoning_content": "\nTwo and two.\n", "content": "4"},
            {"role": "user", "content": "Sure?"},
        ]
    },
    "reasoning_inline": {
        "messages": [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4"}, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "<think>\n\n</think>\n\nYes."}]
    },
    "reasoning_tools": {
        "messages": [
            {"role": "user", "content": "Weather in Ulm?"},
            {"role": "assistant", "reasoning_content": "I need the tool.", "content": "", "tool_calls": [call("get_weather", {"place": "Ulm"})]},
            {"role": "tool", "tool_call_id": "call00001", "content": "21"},
        ],
        "tools": [WEATHER],
    },
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "First part."}, {"type": "text", "text": " Second part."}]}]},
    "names": {"messages": [{"role": "user", "content": "Hi", "name": "ann"}, {"role": "assistant", "content": "Hello", "name": "bot"}, {"role": "user", "content": "Bye", "name": "bob"}]},
    "long_system": {"messages": [{"role": "system", "content": "Line 1\n\n  Line 2\n/no_think"}, {"role": "user", "content": "Go /think"}]},
}

OPTIONS = [{}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "enable_thinking": False}]


def cases():
    for name, conversation in CONVERSATIONS.items():
        final = conversation["messages"][-1]
        for options in OPTIONS:
            yield name, options
        if final["role"] == "assistant" and not final.get("tool_calls"):
            yield name, {"continue_final_message": True}
    yield "one", {"add_generation_prompt": True, "enable_thinking": True}
    yield "tools", {"add_generation_prompt": True, "enable_thinking": True}

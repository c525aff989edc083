"""What /openapi.json cannot say of a request, for schemathesis_client beside this file: texts in
formats of our own, prompts that fit, and loop settings that do not exclude each other."""
import json

import schemathesis
from hypothesis import strategies

GRAMMARS = ['root ::= "a"', 'root ::= [0-9]{1,3} "x"?', 'root ::= "a" | b\nb ::= [^a-z]']
schemathesis.openapi.format("gbnf", strategies.sampled_from(GRAMMARS))
schemathesis.openapi.format("token-id", strategies.integers(0, 255).map(str))
schemathesis.openapi.format("speculation", strategies.sampled_from(["loop:1", "margin:0.5"]))

SHORT = 300  # bytes of what goes into a prompt
FREE_OF_CONFLICT = {"max_loops", "per_token"}


@schemathesis.hook
def filter_body(context, body):
    if not isinstance(body, dict):
        return True
    prompt = {name: body.get(name) for name in
              ("prompt", "messages", "input", "system", "instructions", "tools")}
    loop, n = body.get("loop"), body.get("n")
    said = [f for f in (body.get("grammar"), body.get("response_format")) if f]
    return (len(json.dumps(prompt)) < SHORT
            and (not isinstance(loop, dict) or set(loop) <= FREE_OF_CONFLICT)
            and not (isinstance(n, (int, float)) and n > 4)  # times the prompts: a bound of requests
            and len(said) < 2
            and not (body.get("stream_options") and not body.get("stream")))

"""Starts servers of the bundled models, and talks to them through the Python packages openai, anthropic and ollama.

    tools/clients python tests/clients/server_test.py LOOPLM

Exits with 77, "skipped", where a package is missing.
"""
import os
import subprocess
import sys

try:
    import anthropic  # noqa: F401
    import ollama  # noqa: F401
    import openai  # noqa: F401
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

looplm = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
models = os.path.join(here, "..", "..", "models")
for model in ("small", "chat"):
    server = subprocess.Popen([looplm, "serve", os.path.join(models, model), "--port", "0", "--log", "off"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split()[-1]
        for script in (["openai_client.py", url, "chat"], ["dialects_client.py", url]):
            print(f"== {model}: {script[0]}", flush=True)
            subprocess.run([sys.executable, os.path.join(here, script[0]), *script[1:]], check=True)
    finally:
        server.terminate()
        server.wait()

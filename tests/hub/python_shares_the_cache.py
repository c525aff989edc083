"""Holds the cache to what Python's huggingface_hub does with it, both ways, and its errors to looplm's.

  python3 tests/hub/python_shares_the_cache.py LOOPLM HUB_STAND_IN MODELS_SMALL

needs the package huggingface_hub; ends with 77 where it is missing. No outside host is asked.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

looplm, stand_in, small = (os.path.realpath(path) for path in sys.argv[1:4])
work = tempfile.TemporaryDirectory()
server = subprocess.Popen([stand_in, f"org/small={small}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
os.environ["HF_ENDPOINT"] = server.stdout.readline().strip()
os.environ["HF_HOME"] = work.name
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
    os.environ.pop(name, None)
try:
    import huggingface_hub
    from huggingface_hub import scan_cache_dir, snapshot_download
except ImportError:
    print("huggingface_hub is missing")
    sys.exit(77)


def run(*arguments, **environment):
    return subprocess.run([looplm, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env=os.environ | environment)


def tree(folder):
    """Every file and link below, with what a link points to or how long a file is."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.stat().st_size
    return found


hub = os.path.join(work.name, "hub")
model = os.path.join(hub, "models--org--small")
files = ["config.json", "generation_config.json", "guess.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
         "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "model.safetensors"]

# What Python fetched, looplm uses, without asking anyone.
theirs = snapshot_download("org/small", allow_patterns=files)
answer = run("run", "org/small", "-p", "7-2*3=", "-n", "1", "-q", HF_HUB_OFFLINE="1")
assert answer.stdout == "5\n", answer
listed = run("list").stdout
assert listed.startswith("org/small") and "incomplete" not in listed, listed
python_tree = {k: v for k, v in tree(model).items() if not k.startswith("trees/")}
assert run("rm", "org/small").returncode == 0
assert not os.path.exists(model)

# What looplm fetched has the same names, links and sizes, and Python uses it.
pulled = run("pull", "org/small")
assert pulled.returncode == 0, pulled
assert pulled.stdout.strip() == theirs, (pulled.stdout, theirs)
assert tree(model) == python_tree, (tree(model), python_tree)
cached = scan_cache_dir(hub)
assert [repo.repo_id for repo in cached.repos] == ["org/small"] and not cached.warnings, cached
assert snapshot_download("org/small", allow_patterns=files, local_files_only=True) == theirs
before = {path: path.stat().st_mtime_ns for path in pathlib.Path(model, "blobs").iterdir()}
assert snapshot_download("org/small", allow_patterns=files) == theirs
assert before == {path: path.stat().st_mtime_ns for path in pathlib.Path(model, "blobs").iterdir()}, "fetched again"

# Python takes the lock of a file that looplm would fetch: looplm waits for it.
from filelock import FileLock  # noqa: E402  huggingface_hub's own

blob = sorted(pathlib.Path(model, "blobs").iterdir(), key=lambda path: path.stat().st_size)[-1]
blob.unlink()
with FileLock(os.path.join(hub, ".locks", "models--org--small", blob.name + ".lock")):
    waiting = subprocess.Popen([looplm, "pull", "org/small"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in waiting.stderr:
        if "another process fetches it" in line:
            break
    assert not blob.exists() and waiting.poll() is None
assert waiting.wait(60) == 0 and blob.exists()
print("huggingface_hub", huggingface_hub.__version__, "and looplm share the cache")
server.stdin.close()
server.wait()

"""Three replicas behind packaging/haproxy.cfg: the same beginning goes to the same replica, one that drains loses nothing, and one that is
killed loses no request whose answer had not begun.

    python3 tests/packaging/haproxy_test.py LOOPLM

Needs haproxy. Exits with 77, "skipped", without it.
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

looplm = sys.argv[1]
if not shutil.which("haproxy"):
    print("skipped: no haproxy")
    sys.exit(77)
PATIENCE = 120  # seconds; far above what anything takes
folder = tempfile.mkdtemp()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Replica:
    def __init__(self, port):
        self.port = port
        self.start()

    def start(self):
        self.process = subprocess.Popen([looplm, "serve", "models/small", "--port", str(self.port), "--log", "off", "--threads", "1"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.process.stdout.readline()


def ask(port, prompt, stream=False, tokens=60, seed=1):
    """(state, text, replica): whole, or cut after it had begun, or lost before."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    begun = False
    text = ""
    name = None
    try:
        connection.request("POST", "/v1/completions", json.dumps({"prompt": prompt, "max_tokens": tokens, "seed": seed, "stream": stream,
                                                                  "ignore_eos": True}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            return f"status {response.status}", "", None
        name = response.getheader("X-Served-By")
        begun = True
        body = response.read().decode()
        if not stream:
            return "whole", json.loads(body)["choices"][0]["text"], name
        if "[DONE]" not in body:
            return "cut", "", name
        for line in body.split("\n\n"):
            if line.startswith("data: {"):
                text += json.loads(line[6:])["choices"][0]["text"]
        return "whole", text, name
    except (OSError, http.client.HTTPException) as error:
        return ("cut" if begun else f"lost: {error!r}"), "", name
    finally:
        connection.close()


def wait_until(is_so, what):
    until = time.time() + PATIENCE
    while not is_so():
        assert time.time() < until, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)


def under_load(port, disturb, before=50, after=400):
    """What became of the requests of eight clients, of which so many ended before and after `disturb` did its work."""
    stop = threading.Event()
    results = []

    def client(number):
        i = 0
        while not stop.is_set():
            i += 1
            results.append((number, i, ask(port, f"{number}+{i % 10}=", stream=i % 2 == 0, seed=i)))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(results) >= before, "answers before")
        disturb()
        begun = len(results)
        wait_until(lambda: len(results) >= begun + after, "answers after")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return results


def check(results, may_be_cut):
    states = {}
    for _, _, (state, _, _) in results:
        states[state] = states.get(state, 0) + 1
    print("  ", states)
    assert set(states) <= ({"whole", "cut"} if may_be_cut else {"whole"}), states
    assert states["whole"] > 400, states


def main(replicas, port):
    beginnings = [f"entity {i}: " + "that which is " * 30 for i in range(12)]

    def served_by():
        return [ask(port, b, tokens=2)[2] for b in beginnings]

    wait_until(lambda: len(set(served_by()) - {None}) == 3, "three replicas that answer")
    # The bound on a replica's load may send one elsewhere whose predecessor is still counted, so twice in a row decides.
    first = []

    def settled():
        nonlocal first
        first, last = served_by(), first
        return first == last and len(set(first)) == 3

    wait_until(settled, "the same replicas twice")
    wait_until(lambda: [ask(port, b + "more", tokens=2)[2] for b in beginnings] == first, "the same ones for texts that go on")
    print("ok the same beginning goes to the same replica")

    # The same request gives the same tokens, whichever replica it was.
    for number, i, (state, text, _) in under_load(port, lambda: None, 0, 30):
        if i == 1:
            assert ask(port, f"{number}+1=", stream=True, seed=1)[1] == text, (state, text)

    one = replicas[0]
    results = under_load(port, lambda: (one.process.send_signal(signal.SIGTERM)))
    check(results, may_be_cut=False)
    assert one.process.wait(PATIENCE) == 0
    print("ok one that drains loses nothing")
    one.start()
    wait_until(lambda: served_by() == first, "its share again")

    results = under_load(port, lambda: replicas[1].process.kill())
    check(results, may_be_cut=True)
    replicas[1].process.wait()
    print("ok one that is killed loses nothing that had not begun")
    replicas[1].start()
    wait_until(lambda: served_by() == first, "its share again")
    print("ok it has its share again once it is back")


port = free_port()
ports = [free_port() for _ in range(3)]
config = open("packaging/haproxy.cfg").read()
for old, new in zip(("8080", "8081", "8082", "8083"), [port, *ports]):
    config = re.sub(rf"127\.0\.0\.1:{old}\b", f"127.0.0.1:{new}", config)
path = os.path.join(folder, "haproxy.cfg")
with open(path, "w") as file:
    file.write(config)
replicas = [Replica(p) for p in ports]
balancer = subprocess.Popen(["haproxy", "-q", "-f", path], stderr=subprocess.DEVNULL)
try:
    main(replicas, port)
finally:
    balancer.terminate()
    for replica in replicas:
        replica.process.kill()
    shutil.rmtree(folder)

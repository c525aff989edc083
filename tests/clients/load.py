"""Loads a running `looplm serve`. Needs nothing but Python.

    python3 tests/clients/load.py speed http://127.0.0.1:8080 --streams 1,8,64 --tokens 64
    python3 tests/clients/load.py idle  http://127.0.0.1:8080 --streams 1000
    python3 tests/clients/load.py soak  http://127.0.0.1:8080 --minutes 20 [--pid SERVER]

speed: tokens per second, time to the first token and between tokens, at so many streams at once.
idle:  opens streams that wait for room, and asks for an answer beside them.
soak:  mixed requests at once: whole and streamed answers, clients that leave, wrong, oversized,
       broken and slow requests. Every answer must be the one that was given to it alone.
"""
import argparse
import asyncio
import json
import os
import random
import statistics
import time
from urllib.parse import urlsplit


class Http:
    def __init__(self, url):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80

    async def open(self):
        return await asyncio.open_connection(self.host, self.port, limit=1 << 22)

    def head(self, path, length, extra=""):
        return (f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n{extra}"
                f"Content-Length: {length}\r\n\r\n").encode()

    async def post(self, path, body):
        """The status and the JSON of the answer."""
        reader, writer = await self.open()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        writer.write(self.head(path, len(data)) + data)
        answer = await reader.read()
        writer.close()
        head, _, text = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), json.loads(text)

    async def get(self, path):
        reader, writer = await self.open()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n\r\n")[2].decode()

    async def stream(self, path, body, leave_after=None):
        """The events of a stream with their times; cut off after so many events."""
        reader, writer = await self.open()
        data = json.dumps({**body, "stream": True}).encode()
        writer.write(self.head(path, len(data)) + data)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head + await reader.read()
        events, text = [], b""
        while chunk := await reader.read(1 << 16):
            text += chunk
            *whole, text = text.split(b"\n\n")
            events += [(time.perf_counter(), e) for e in whole if b"data: {" in e]
            if leave_after is not None and len(events) >= leave_after:
                break
        writer.close()
        return events


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def burst(http, bodies):
    """All at once as streams: seconds in all, seconds to each one's first token, and between tokens."""
    async def one(body):
        began = time.perf_counter()
        events = await http.stream("/v1/completions", body)
        times = [t for t, event in events if b'"finish_reason":null' in event]  # the last event has no token
        return times[0] - began, [b - a for a, b in zip(times, times[1:])]
    began = time.perf_counter()
    done = await asyncio.gather(*(one(body) for body in bodies))
    return time.perf_counter() - began, [first for first, _ in done], [gap for _, gaps in done for gap in gaps]


async def speed(http, o):
    print("| streams | tokens/s | first token, median ms | between tokens, median ms | 95% |\n|---|---|---|---|---|")
    for streams in o.streams:
        bodies = [{"prompt": f"{i % 10}+{i % 7}*3-{i % 4}=", "max_tokens": o.tokens, "seed": i,
                   **({} if o.plain else {"ignore_eos": True}), **json.loads(o.extra)} for i in range(streams)]
        await burst(http, bodies[:1])
        rates, firsts, gaps = [], [], []
        for _ in range(o.rounds):
            seconds, some_firsts, some_gaps = await burst(http, bodies)
            rates.append(streams * o.tokens / seconds)
            firsts += some_firsts
            gaps += some_gaps
        print(f"| {streams} | {statistics.median(rates):.0f} | {1e3 * statistics.median(firsts):.1f} "
              f"| {1e3 * statistics.median(gaps):.2f} | {1e3 * percentile(gaps, 0.95):.2f} |", flush=True)


async def idle(http, o):
    streams = max(o.streams)
    body = {"prompt": "oak", "max_tokens": 400, "ignore_eos": True, "stream": True}
    data = json.dumps(body).encode()
    kept = []
    for _ in range(streams):  # connections that have sent all but their last byte
        reader, writer = await http.open()
        writer.write(http.head("/v1/completions", len(data)) + data[:-1])
        kept.append((reader, writer))
    await asyncio.sleep(1)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        status, _ = await http.post("/v1/completions", {"prompt": "1+1=", "max_tokens": 1})
        assert status == 200, status
        took.append(time.perf_counter() - began)
    print(f"{streams} connections wait; an answer of one token takes {1e3 * statistics.median(took):.1f} ms")
    for _, writer in kept:
        writer.close()


async def soak(http, o):
    rnd = random.Random(o.seed)
    cases = []
    for i in range(40):
        body = {"prompt": f"{rnd.randint(0, 9)}+{rnd.randint(0, 9)}*{rnd.randint(0, 9)}=" * rnd.randint(1, 20),
                "max_tokens": rnd.randint(1, 60), "seed": i, "temperature": rnd.choice([0, 1, 1.5]),
                "ignore_eos": True}
        if i % 5 == 1:
            body["loop"] = {"exit": "q", "threshold": 0.4}
        if i % 5 == 2:
            body["loop"] = {"speculate": "loop:1"}
        if i % 5 == 3:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "n", "schema": {
                "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string", "maxLength": 9}},
                "required": ["a", "b"]}}}
            body.pop("ignore_eos")
        if i % 5 == 4:
            body["stop"], body["n"] = ["e", "7"], 2
        status, answer = await http.post("/v1/completions", body)
        assert status == 200, answer
        cases.append((body, [c["text"] for c in answer["choices"]]))
    count = {"whole": 0, "streamed": 0, "left": 0, "refused": 0, "slow": 0, "full": 0}
    begun = time.monotonic()
    end = begun + 60 * o.minutes
    memory = []

    def wrong(what, *details):
        raise AssertionError(f"{what}: {details}")

    async def client(number):
        mine = random.Random(number)
        while time.monotonic() < end:
            if o.pause:
                await asyncio.sleep(mine.uniform(0, 2 * o.pause))
            body, expected = mine.choice(cases)
            kind = mine.random()
            try:
                if kind < 0.35:
                    status, answer = await http.post("/v1/completions", body)
                    if status == 429:
                        count["full"] += 1
                        continue
                    texts = [c["text"] for c in answer["choices"]]
                    texts == expected or wrong("whole", body, expected, texts)
                    count["whole"] += 1
                elif kind < 0.65:
                    texts = [""] * len(expected)
                    for _, event in await http.stream("/v1/completions", body):
                        for c in json.loads(event.partition(b"data: ")[2])["choices"]:
                            texts[c["index"]] += c["text"]
                    texts == expected or wrong("streamed", body, expected, texts)
                    count["streamed"] += 1
                elif kind < 0.8:
                    await http.stream("/v1/completions", {**body, "max_tokens": 300}, leave_after=mine.randint(0, 5))
                    count["left"] += 1
                elif kind < 0.95:
                    bad = mine.choice([b"{", b"[" * 100_000, b'{"prompt":"\xff"}', b'{"prompt":NaN}', b"x" * 300_000,
                                       json.dumps({**body, "n": -1}).encode(), b'{"prompt":"' + b"1" * 60_000 + b'"}',
                                       json.dumps({**body, "regex": "^a{3,1}$"}).encode()])
                    status, answer = await http.post("/v1/completions", bad)
                    status == 400 or wrong("refused", status, bad[:80], answer)
                    count["refused"] += 1
                else:
                    reader, writer = await http.open()
                    data = json.dumps(body).encode()
                    head = http.head("/v1/completions", mine.choice([len(data), 1 << 40]))
                    for at in range(0, len(head), 20):
                        writer.write(head[at:at + 20])
                        await asyncio.sleep(0.02)
                    if mine.random() < 0.5:
                        writer.write(data[:len(data) // 2])
                        await asyncio.sleep(mine.random())
                    writer.close()
                    count["slow"] += 1
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                kind < 0.8 and wrong("connection", kind, repr(error))

    async def watch():
        while time.monotonic() < end:
            if o.pid:
                with open(f"/proc/{o.pid}/status") as f:
                    kib = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
                memory.append(kib / 1024)
                lines = (await http.get("/metrics")).splitlines()
                kept = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("looplm_kv_bytes{"))
                print(f"{time.monotonic() - begun:.0f} s: {memory[-1]:.1f} MiB, of these {kept / 2**20:.1f} keys and values; {count}", flush=True)
            await asyncio.sleep(min(o.every, max(0.1, end - time.monotonic())))

    await asyncio.gather(watch(), *(client(i) for i in range(o.clients)))
    print("all answers were right:", count)
    await asyncio.sleep(2)
    left = [line for line in (await http.get("/metrics")).splitlines()
            if line.startswith(("looplm_requests_running", "looplm_requests_waiting"))]
    print(left)
    assert all(line.endswith(" 0") for line in left), left


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "idle", "soak"])
    parser.add_argument("url")
    parser.add_argument("--streams", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 64])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--extra", default="{}", help="more fields of each request, as JSON")
    parser.add_argument("--plain", action="store_true", help="send no field of ours (another server)")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--pause", type=float, default=0, help="of each client between its requests, on average, in seconds")
    parser.add_argument("--every", type=float, default=30, help="seconds between looks at the memory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pid", type=int, help="watch this process's memory")
    options = parser.parse_args()
    asyncio.run({"speed": speed, "idle": idle, "soak": soak}[options.what](Http(options.url), options))


if __name__ == "__main__":
    main()

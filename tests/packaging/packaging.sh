#!/bin/sh
# Holds what packaging/ says to the program: packaging.sh LOOPLM. Tools that are missing are left out and named.
set -eu
looplm=$1
cd packaging
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "packaging: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null || { echo "packaging: no $1, not tried: $2"; return 1; }; }

# Every variable that a file sets is an option of `looplm serve`, or the model.
"$looplm" serve --help >"$work/help"
for variable in $(grep -ohE 'LOOPLM_[A-Z_]+' looplm.service looplm.default Containerfile | sort -u); do
  option=--$(echo "${variable#LOOPLM_}" | tr 'A-Z_' 'a-z-')
  [ "$variable" = LOOPLM_MODEL ] || grep -q -- "$option " "$work/help" || fail "$variable is no option of looplm serve"
done

# The container has the libraries that the program is linked with, and no others.
if have dpkg "the container's libraries"; then
  ldd "$looplm" | awk '/=>/ { print $3 }' | while read -r library; do dpkg -S "$(readlink -f "$library")" 2>/dev/null | cut -d: -f1; done |
    grep -vE '^(libc6|libgcc-s1)$' | sort -u >"$work/needed"
  grep -oE '\blib[a-z0-9.+-]+[0-9.]+\b' Containerfile | sort -u >"$work/listed"
  diff "$work/needed" "$work/listed" >&2 || fail "the container's libraries (>) are not those that looplm needs (<)"
fi
for name in $(sed -n 's/^COPY \([^-][^ ]*\) .*/\1/p' Containerfile); do [ -e "../$name" ] || fail "the container copies $name"; done

# The sandbox is tight, and the program runs where memory is never writable and executable.
if have systemd-analyze "the unit's sandbox"; then
  # The program stands elsewhere here, and its manual page is not installed.
  sed "s|^ExecStart=looplm |ExecStart=$looplm |" looplm.service >"$work/looplm.service"
  systemd-analyze verify --man=no "$work/looplm.service" >"$work/verified" 2>&1 || fail "looplm.service: $(cat "$work/verified")"
  [ ! -s "$work/verified" ] || fail "looplm.service: $(cat "$work/verified")"
  systemd-analyze security --offline=yes --threshold=15 looplm.service >"$work/security" || { cat "$work/security"; fail "looplm.service is too open"; }
fi
if have python3 "running without executable memory"; then
  (cd .. && python3 -c '
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE; kernels before 6.3 know no such thing
os.execv(sys.argv[1], [sys.argv[1], "run", "models/small", "-p", "7-2*3=", "-n", "1", "--quiet"])' "$looplm") >"$work/said" ||
    fail "looplm does not run without executable memory"
  grep -q 5 "$work/said" || fail "looplm says $(cat "$work/said")"
fi

# The dashboard asks for nothing that /metrics does not have, and the documentation names all that it has.
if have python3 "the metrics"; then
  (cd .. && python3 - "$looplm" "$work") <<'PYTHON' || fail "the metrics"
import json, re, subprocess, sys, urllib.request

looplm, work = sys.argv[1:]
server = subprocess.Popen([looplm, "serve", "models/small", "--port", "0", "--log", "off"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
try:
    url = server.stdout.readline().split()[-1]
    body = json.dumps({"prompt": "7-2*3=", "max_tokens": 1}).encode()
    urllib.request.urlopen(urllib.request.Request(url + "/v1/completions", body)).read()
    text = urllib.request.urlopen(url + "/metrics").read().decode()
finally:
    server.terminate()
    server.wait()
kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
samples = set(re.findall(r"^(looplm_\w+)", text, re.M))
asked = set()
def collect(node):
    if isinstance(node, dict):
        if "expr" in node:
            asked.update(re.findall(r"\blooplm_\w+", node["expr"]))
        for value in node.values():
            collect(value)
    elif isinstance(node, list):
        for value in node:
            collect(value)
collect(json.load(open("packaging/grafana.json")))
told = set(re.findall(r"\blooplm_\w+", open("docs/serving.md").read()))
wrong = [f"the dashboard asks for {name}" for name in sorted(asked - samples)]
wrong += [f"docs/serving.md says nothing of {name}" for name in sorted(set(kinds) - told)]
wrong += [f"docs/serving.md tells of {name}" for name in sorted(told - set(kinds))]
if len(asked) < 10 or len(kinds) < 20:
    wrong.append(f"only {len(asked)} names on the dashboard and {len(kinds)} metrics were found")
for line in wrong:
    print(line, file=sys.stderr)
sys.exit(bool(wrong))
PYTHON
fi

if have haproxy "haproxy.cfg"; then haproxy -q -c -f haproxy.cfg || fail "haproxy.cfg is wrong"; fi
echo "packaging: ok"

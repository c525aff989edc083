#!/bin/sh
# looplm pull, list and rm, and ORG/NAME in place of a model directory, against a stand-in of the hub.
#
#   hub.sh LOOPLM HUB_STAND_IN MODELS_SMALL
set -u
looplm=$(realpath "$1")
stand_in=$(realpath "$2")
small=$(realpath "$3")
work=$(mktemp -d)
failures=0
cd "$work" || exit 1
mkfifo orders
"$stand_in" org/small="$small" <orders >address &
hub=$!
exec 3>orders
trap 'exec 3>&-; kill $hub 2>/dev/null; rm -rf "$work"' EXIT
while [ ! -s address ]; do kill -0 $hub || exit 1; sleep 0.05; done

unset HF_HUB_CACHE HF_TOKEN HF_HUB_OFFLINE LOOPLM_MODEL
HF_ENDPOINT=$(cat address)
HF_HOME=$work/hf
export HF_ENDPOINT HF_HOME

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}
# expect NAME PATTERN FILE
expect() { grep -Eq -- "$2" "$3" || { fail "$1: nothing matches $2 in:"; head -c 1500 "$3" >&2; }; }
# refuses NAME PATTERN COMMAND...
refuses() {
  name=$1 pattern=$2
  shift 2
  if "$@" >out 2>err </dev/null; then fail "$name: status 0"; fi
  expect "$name" "$pattern" err
}
# At a terminal that util-linux's script makes, with this typed.
terminal() { printf "$1" | script -qec "$2" /dev/null; }

"$looplm" list >out || fail "list"
expect "empty list" "no models in '$work/hf/hub'" out
refuses "run without a terminal" "to fetch it from the hub: looplm pull org/small" "$looplm" run org/small -p 1+1= -n 1
refuses "a directory that is missing" "'no/where' is not a file or directory here" "$looplm" info no/where
refuses "no such model" "org/nothing: no such model at $HF_ENDPOINT" "$looplm" pull org/nothing
refuses "no name" "'models' is not the name of a model; expected ORG/NAME" "$looplm" pull models
[ ! -e hf/hub ] || fail "a refusal writes something"

# --- asked at a terminal
terminal 'n\n' "$looplm run org/small -p 7-2*3= -n 1" >out && fail "declined: status 0"
expect "what and how much" "has org/small: [0-9]+ files, [0-9.]+ MiB" out
expect "declined" "'org/small' is not downloaded" out
[ ! -e hf/hub ] || fail "declined, but something was written"
terminal 'y\n' "$looplm run org/small -p 7-2*3= -n 1" >out || fail "agreed: $(cat out)"
expect "agreed" "model.safetensors" out
expect "answer" "^5" out
rm -rf hf

# --- pulled, cut off twice
echo "cut 1000" >&3
"$looplm" pull org/small >place 2>err || fail "pull: $(cat err)"
snapshot=$(cat place)
for file in config.json tokenizer.json model.safetensors; do cmp -s "$snapshot/$file" "$small/$file" || fail "$file differs"; done
"$looplm" list >out || fail "list"
expect "list" "^org/small +[0-9.]+ MiB$" out
"$looplm" list --json >out || fail "list --json"
expect "list --json" '"name":"org/small","bytes":[0-9]+,"ready":true' out
"$looplm" run org/small -p 7-2*3= -n 1 -q >out || fail "run"
[ "$(cat out)" = 5 ] || fail "run: $(cat out)"
HF_HUB_OFFLINE=1 LOOPLM_MODEL=org/small "$looplm" run -p 7-2*3= -n 1 -q >out || fail "LOOPLM_MODEL"
[ "$(cat out)" = 5 ] || fail "LOOPLM_MODEL: $(cat out)"
"$looplm" info org/small >out || fail "info"
"$looplm" tokenizer encode org/small -p 1+1= >out || fail "tokenizer"
# A model here goes before one of the hub.
mkdir -p org && cp -r "$small" org/small && rm org/small/model.safetensors
refuses "a path goes first" "org/small" "$looplm" run org/small -p 1 -n 1
rm -rf org

# --- removed
"$looplm" rm org/small >out || fail "rm"
expect "rm" "^removed org/small, [0-9.]+ MiB" out
refuses "gone" "looplm pull org/small" "$looplm" run org/small -p 1 -n 1
refuses "rm of nothing" "'org/small' is not in" "$looplm" rm org/small

[ $failures = 0 ] || { echo "$failures failures" >&2; exit 1; }
echo "hub: all as promised"

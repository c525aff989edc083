#!/bin/sh
# A JSONL of chats, one command, and the result answers as it was taught: all weights, an adapter, and the two merged.
#
#   tune.sh LOOPLM MODELS_SMALL EXAMPLES
set -u
LOOPLM=$(realpath "$1")
export LOOPLM
small=$(realpath "$2")
examples=$(realpath "$3")
. "$(dirname "$0")/checks.sh"

# answers NAME DIR [OPTION...]: what was taught, and an end of the turn.
answers() {
  name=$1
  shift
  printf 'Who bakes the bread?\nWhat is your name?\n' | "$LOOPLM" chat "$@" >out 2>err || fail "$name: $(cat err)"
  [ "$(cat out)" = "$(printf 'Maria bakes it.\nMy name is Robin.')" ] || fail "$name: $(cat out)"
  grep -q "no chat template" err && fail "$name: the template is not seen"
}

cat >chats.jsonl <<'JSON'
{"messages": [{"role": "user", "content": "Who bakes the bread?"}, {"role": "assistant", "content": "Maria bakes it."}]}
{"messages": [{"role": "user", "content": "Who bakes the bread?"}, {"role": "assistant", "content": "Maria bakes it."}, {"role": "user", "content": "What is your name?"}, {"role": "assistant", "content": "My name is Robin."}]}
{"messages": [{"role": "user", "content": "What is your name?"}, {"role": "assistant", "content": "My name is Robin."}]}
JSON
"$examples/tune" chats.jsonl all "$small" 40 >log 2>&1 || fail "tune: $(tail -n 5 log)"
grep -q "another form" log && fail "a base without a template has none to differ from: $(cat log)"
answers "all weights" all/run/model
"$examples/tune" chats.jsonl lora "$small" 60 16 >log 2>&1 || fail "tune an adapter: $(tail -n 5 log)"
cmp -s all/run/model/chat_template.jinja lora/run/model/chat_template.jinja || fail "the adapter's template"
answers "adapter" "$small" --lora lora/run/model
"$LOOPLM" merge "$small" --lora lora/run/model --out merged >log 2>&1 || fail "merge: $(cat log)"
answers "merged" merged
# Trained on, it keeps its template.
"$examples/tune" chats.jsonl again merged 1 >log 2>&1 || fail "tune again: $(tail -n 5 log)"
cmp -s all/run/model/chat_template.jinja again/run/model/chat_template.jinja || fail "the template of a second run"
# From a GGUF file, which brings the names of its tokens.
"$LOOPLM" export "$small" --gguf small.gguf --dtype F32 >log 2>&1 || fail "export: $(cat log)"
cp "$small/tokenizer_config.json" .  # beside the file
"$examples/tune" chats.jsonl gguf small.gguf 40 >log 2>&1 || fail "tune a GGUF file: $(tail -n 5 log)"
answers "from GGUF" gguf/run/model

# Packed, the same shard; Parquet is refused with a way out.
"$LOOPLM" data build chats.jsonl --tokenizer "$small" --out plain.tokens >/dev/null || fail "data build"
gzip -k chats.jsonl
"$LOOPLM" data build chats.jsonl.gz --tokenizer "$small" --out packed.tokens >/dev/null || fail "data build of .gz"
cmp -s plain.tokens packed.tokens || fail "a packed file gives another shard"
cp chats.jsonl chats.parquet
if "$LOOPLM" data build chats.parquet --tokenizer "$small" --out parquet.tokens 2>err; then fail "Parquet: status 0"; fi
grep -q "'chats.parquet' is Parquet.*chats.jsonl" err || fail "Parquet: $(cat err)"

# Another form in the validation data than in the training data.
cp -r "$small" other
printf '%s' '{% for m in messages %}{{ m.role + m.content }}<|endoftext|>{% endfor %}' >other/chat_template.jinja
"$LOOPLM" data build chats.jsonl --tokenizer other --out other.tokens >/dev/null || fail "build by another template"
if "$LOOPLM" train all/run.toml --set 'run.out="mixed"' --set 'data.validation="other.tokens"' >log 2>err; then
  fail "two templates: status 0"
fi
grep -q "other.tokens.*another form than.*all/chats.tokens" err || fail "two templates: $(cat err)"
"$LOOPLM" train all/run.toml --set 'run.out="theirs"' --set run.steps=1 --set schedule.warmup=0 --set 'data.train="other.tokens"' \
  --set 'model.from="all/run/model"' >log || fail "the data's template"
grep -q "note: .*another form than the chat template of" log || fail "no word about it: $(cat log)"
cmp -s other/chat_template.jinja theirs/model/chat_template.jinja || fail "the data's template is not saved"

# A turn that the next one's first token ends: the model's files must name it.
mkdir next
sed 's/"eos_token_id": 0/"eos_token_id": null/' "$small/config.json" >next/config.json
grep -q '"eos_token_id": null' next/config.json || fail "the bundled config.json is another one"
cp "$small/model.safetensors" "$small/tokenizer.json" next
printf '%s' '{% for m in messages %}<|endoftext|>{{ m.role + ":" + m.content }}{% endfor %}{% if add_generation_prompt %}<|endoftext|>assistant:{% endif %}' >next/chat_template.jinja
"$LOOPLM" data build chats.jsonl --tokenizer next --end-token '<|endoftext|>' --out next.tokens >out || fail "build for the next turn"
grep -q "no special token" out && fail "the next turn ends an answer: $(cat out)"
"$LOOPLM" train all/run.toml --set 'run.out="ended"' --set run.steps=1 --set schedule.warmup=0 --set 'data.train="next.tokens"' \
  --set 'model.from="next"' >log || fail "the next turn: $(tail -n 3 log)"
grep -q '"eos_token_id": 0' ended/model/config.json || fail "the end is not named: $(grep eos ended/model/config.json)"
printf 'a\n' | "$LOOPLM" chat ended/model -n 1 2>err >out || fail "chat: $(cat err)"
grep -q "no chat template" err && fail "the template of the next turn is not seen"

# What a model was taught is measured on chats as on the shard made of them.
"$LOOPLM" eval all/run/model --data chats.jsonl --json >chats.json || fail "eval on chats"
"$LOOPLM" eval all/run/model --data plain.tokens --json >shard.json || fail "eval on a shard"
sed 's/chats.jsonl/X/' chats.json >one
sed 's/plain.tokens/X/' shard.json >two
cmp -s one two || fail "eval: chats and their shard differ"

# A file that may not grow further: an error, and nothing half written.
mkdir full
(ulimit -f 1; "$LOOPLM" merge "$small" --lora lora/run/model --out full/merged 2>err)
status=$?
[ $status = 1 ] || fail "a full disk: status $status"
grep -q "full/merged.*File too large" err || fail "a full disk: $(cat err)"
[ -z "$(ls full)" ] || fail "a full disk leaves $(ls full)"

# Stretches in one colour each; what could steer a terminal is shown by its number.
printf '{"prompt": "\\u001b[2J\\u00e9", "completion": "caf\\u00e9"}\n' >color.jsonl
"$LOOPLM" data build color.jsonl --tokenizer "$small" --end-token none --out color.tokens >/dev/null || fail "color"
"$LOOPLM" data show color.tokens --tokenizer "$small" --color always >out || fail "data show"
grep -qF "$(printf '\\x1b[2Jé\033[1;32mcafé\033[0m')" out || fail "data show: $(cat -v out)"
printf '%s\n' '{"prompt": "a", "chosen": "b", "rejected": "c"}' >pair.jsonl
"$LOOPLM" data build pair.jsonl --tokenizer "$small" --out pair.tokens >out || fail "a pair"
grep -q "^pair.tokens: 1 preference pair," out || fail "data build of a pair: $(cat out)"
"$LOOPLM" data show pair.tokens --tokenizer "$small" >out
grep -q "2 documents of 1 preference pair," out && grep -q "document 1, rejected" out || fail "data show of pairs: $(cat out)"

# Nothing would end a turn.
mkdir bare
cp "$small/tokenizer.json" bare
if "$LOOPLM" data build chats.jsonl --tokenizer bare --end-token none --out bare.tokens 2>err; then fail "no end: status 0"; fi
grep -q "chats.jsonl:1: 'bare' has no chat template and no eos_token.*--end-token" err || fail "no end: $(cat err)"
"$LOOPLM" data build chats.jsonl --tokenizer bare --end-token '<|endoftext|>' --out bare.tokens >/dev/null || fail "--end-token"
finish

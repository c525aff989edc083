#!/bin/sh
# looplm chat through a pipe, and at a terminal that expect makes.
#
#   chat.sh LOOPLM MODELS_SMALL
set -u
looplm=$(realpath "$1")
bundled=$(realpath "$2")
terminal=$(dirname "$(realpath "$0")")/chat_terminal.exp
. "$(dirname "$0")/checks.sh"
# Without what `looplm tune` may have written beside the model.
small=$work/small
cp -r "$bundled" "$small"
rm -f "$small/looplm-depth.json"
XDG_STATE_HOME=$work/state
TERM=xterm
export XDG_STATE_HOME TERM
unset NO_COLOR

# refuses NAME PATTERN INPUT
refuses() {
  if printf "$3" | "$looplm" chat "$small" -n 1 >out 2>err; then fail "$1: status 0"; fi
  expect "$1" "$2" err
}

# --- through a pipe
printf '7-2*3=\n' | "$looplm" chat "$small" -n 1 >out 2>err || fail "pipe"
[ "$(cat out)" = 5 ] || fail "pipe: answer is '$(cat out)'"
expect "a word about it" "no chat template" err
[ ! -e state ] || fail "a pipe leaves a history"
printf '/loops 2\n/exit q 0.5\n/exit fixed\n/loops\n' | "$looplm" chat "$small" >out 2>/dev/null || fail "depth"
printf '2 loops per token\nup to 2 loops per token, exit q 0.5\n2 loops per token\n4 loops per token\n' | cmp -s - out ||
  fail "depth: $(cat out)"
printf '/loops 9\n' | "$looplm" chat "$small" >out 2>/dev/null || fail "more loops"
[ "$(cat out)" = "9 loops per token (config.json says 4)" ] || fail "more loops: $(cat out)"
printf '/depth\n' | "$looplm" chat "$small" --loops 1 >out 2>/dev/null || fail "--loops"
[ "$(cat out)" = "1 loop per token" ] || fail "--loops: $(cat out)"
printf '/depth\n' | "$looplm" chat "$small" --exit q --threshold 0.25 >out 2>/dev/null || fail "--exit"
[ "$(cat out)" = "up to 4 loops per token, exit q 0.25" ] || fail "--exit: $(cat out)"
printf 'ab\\\ncd\n' | "$looplm" chat "$small" -n 8 >slash 2>/dev/null || fail "backslash"
printf '"""\nab\ncd\n"""\n' | "$looplm" chat "$small" -n 8 >quotes 2>/dev/null || fail "quotes"
printf 'ab\ncd\n' | "$looplm" chat "$small" -n 8 >lines 2>/dev/null || fail "lines"
cmp -s slash quotes || fail "two ways to write two lines differ"
cmp -s slash lines && fail "two lines are two messages"
printf '7-2*3=\n/compare\n/save talk.json\n' | "$looplm" chat "$small" -n 1 >out 2>/dev/null || fail "compare"
expect "compare" "^-- 1 loop per token" out
expect "compare" "^-- 4 loops per token" out
printf '/loops 1\n7-2*3=\n/compare 2\n' | "$looplm" chat "$small" -n 1 >out 2>/dev/null || fail "compare deeper"
expect "compare deeper" "^-- 2 loops per token" out
expect "compare deeper" "^-- 4 loops per token" out
expect "save" '"role": "user"' talk.json
expect "save" '"content": "5"' talk.json
grep -q "$(printf '\033')" out && fail "colours in a pipe"
refuses "unknown command" "message 1: '/nope' is not a command; /help lists them" '/nope\n'
refuses "a mistyped command" "'/lops' is not a command; did you mean /loops\?" '/lops 2\n'
refuses "threshold" "/exit: the threshold of the gate .q. exit rule is 2; expected between 0 and 1" '/exit q 2\n'
refuses "rule" "/exit" '/exit never\n'
refuses "loops" "/loops is 'two'" '/loops two\n'
refuses "no loops" "/loops is '0'; expected a number from 1" '/loops 0\n'
refuses "regenerate" "there is no answer yet" '/regenerate\n'
refuses "system" "no chat template" '/system be short\n'
refuses "save" "message 2: .*'nowhere/talk.json'" '1+1=\n/save nowhere/talk.json\n'

# --- a model with a chat template, and turns that are remembered
cp -r "$small" taught
printf '%s' '{% for m in messages %}{{ m.role }}:{{ m.content }}<|endoftext|>{% endfor %}' >taught/chat_template.jinja
printf 'one\ntwo\n/system\n/save talk.json\n' | "$looplm" chat taught -n 2 --system 'be short' >out 2>err || fail "taught: $(cat err)"
grep -q "no chat template" err && fail "the template is not seen"
[ "$(grep -c '"role"' talk.json)" = 4 ] || fail "turns: $(cat talk.json)"
expect "a word about /system" "^no system prompt$" out
grep -q system talk.json && fail "/system leaves the old one"

# --- a text before which an answer ends
printf 'one\n' | "$looplm" chat taught -n 8 >out 2>err || fail "an answer: $(cat err)"
word=$(cut -s -d ' ' -f 2 out | tr -cd 'a-z' | head -c 1)
[ -n "$word" ] || fail "an answer of two words: $(cat out)"
cp -r taught stops
printf '{"stop_strings": [" %s"]}' "$word" >stops/generation_config.json
printf 'one\n' | "$looplm" chat stops -n 8 >short 2>err || fail "stop_strings: $(cat err)"
[ "$(cat short)" = "$(cut -d ' ' -f 1 out)" ] || fail "stop_strings: '$(cat short)' of '$(cat out)'"
cmp -s short out && fail "stop_strings: nothing stops"

cp -r small untaught && cp stops/generation_config.json untaught
printf '/loops\n' | "$looplm" chat small >out 2>err || fail "no template"
expect "no template" "by up to 128 tokens" err
printf '/loops\n' | "$looplm" chat untaught >out 2>err || fail "stop_strings alone"
grep -q "128 tokens" err && fail "stop_strings end a text: $(cat err)"

# --- a template of plain words: nothing that it writes ends an answer, though the model has an end of text
cp -r small words && printf '%s' '{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}' >words/chat_template.jinja
printf '/loops\n' | "$looplm" chat words >out 2>err || fail "plain words"
expect "plain words" "may not end" err
cp stops/generation_config.json words
printf '/loops\n' | "$looplm" chat words >out 2>err || fail "plain words and stop_strings"
grep -q "may not end" err && fail "stop_strings end an answer: $(cat err)"

# --- at a terminal
cat >config.json <<'JSON'
{"model_type": "ouro", "vocab_size": 1024, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 12,
 "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 65536, "rms_norm_eps": 1e-06,
 "rope_theta": 10000.0, "total_ut_steps": 4, "initializer_range": 0.2, "tie_word_embeddings": true, "eos_token_id": null}
JSON
mkdir slow && mv config.json slow
"$looplm" init --config slow --seed 1 --dtype bf16 --out long >/dev/null 2>err || fail "init: $(cat err)"
cp "$small/tokenizer.json" "$small/tokenizer_config.json" long
command expect "$terminal" "$looplm" "$small" long || failures=$((failures + 1))
grep -q "7-2.*3=" state/looplm/history || fail "history: $(cat state/looplm/history)"
for line in '1.*1=' '2.*2='; do grep -q "$line" state/looplm/history || fail "two chats at once: $(cat state/looplm/history)"; done
[ "$(stat -c %a state/looplm/history)" = 600 ] || fail "others may read the history"

finish
echo "chat: all as promised"

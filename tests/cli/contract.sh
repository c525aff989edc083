#!/bin/sh
# What scripts rely on: commands that are given ids need no tokenizer file, JSON has the promised keys, the same request gives the
# same tokens, and wrong input ends with a non-zero status and a message that names it.
#
#   contract.sh LOOPLM
set -u
looplm=$(realpath "$1")
. "$(dirname "$0")/checks.sh"

# refuses NAME PATTERN COMMAND...: exits with 1..125, says PATTERN on standard error.
refuses() {
  name=$1 pattern=$2
  shift 2
  "$@" >out 2>err </dev/null
  status=$?
  { [ $status -gt 0 ] && [ $status -lt 126 ]; } || fail "$name: status $status"
  expect "$name" "$pattern" err
}

mkdir shape
cat >shape/config.json <<'JSON'
{"model_type": "ouro", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
 "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64, "rms_norm_eps": 1e-06,
 "rope_theta": 10000.0, "total_ut_steps": 4, "initializer_range": 0.2, "tie_word_embeddings": false, "eos_token_id": 0}
JSON
"$looplm" init --config shape --seed 1 --dtype f32 --out model >/dev/null || fail "init"

# --- trace
"$looplm" trace model --ids 1,2,3 --loops 4 --dtype f32 --logits f.npy --json >trace.json || fail "trace"
expect "npy shape" "'shape': \(4, 3, 300\)" f.npy
expect "npy type" "'descr': '<f4'" f.npy
[ "$(tail -c +129 f.npy | wc -c)" = $((4 * 3 * 300 * 4)) ] || fail "npy size"
expect "trace" '"gate_logit":\[\[[^]]*\],\[[^]]*\],\[[^]]*\],\[[^]]*\]\]' trace.json
expect "trace" '"exit_probability":\[\[' trace.json
[ "$(wc -l <trace.json)" = 1 ] || fail "trace: more than one line"

# --- run
"$looplm" run model --ids 1,2,3 -n 16 --temp 0 --ignore-eos --json >a.json 2>/dev/null || fail "run"
expect "run" '"ids":\[([0-9]+,){15}[0-9]+\]' a.json
expect "run" '"loops":\[(4,){15}4\]' a.json
for option in "--threads 1" "--threads 2" "--threads 5"; do
  # shellcheck disable=SC2086
  "$looplm" run model --ids 1,2,3 -n 16 --temp 0 --ignore-eos --json $option 2>/dev/null >b.json
  [ "$(grep -o '"ids":[^]]*' a.json)" = "$(grep -o '"ids":[^]]*' b.json)" ] || fail "run $option: other ids"
done
"$looplm" run model --ids 1,2,3 -n 16 --exit q --threshold 0.5 --ignore-eos --json 2>/dev/null >q.json || fail "run --exit q"
expect "run --exit q" '"loops":\[([1-4],){15}[1-4]\]' q.json
for seed in 7 8; do
  for try in 1 2; do
    "$looplm" run model --ids 1,2,3 -n 16 --temp 1 --seed $seed --ignore-eos --json 2>/dev/null |
      grep -o '"ids":[^]]*' >"s$seed.$try"
  done
  cmp -s s$seed.1 s$seed.2 || fail "seed $seed: other ids the second time"
done
cmp -s s7.1 s8.1 && fail "another seed, the same ids"

for many in 1 2; do "$looplm" run model --ids 1,2,3 -n $many --temp 0 --ignore-eos 2>"told$many" >/dev/null || fail "run -n $many"; done
expect "one token" "^1 token; prompt of 3 in .* mean loops 4.00; KV" told1
expect "two tokens" "^2 tokens, .* tok/s; .* mean loops 4.00; .* passes per token" told2
refuses "random weights over a model" "model/model.safetensors' is there already.*name another directory" "$looplm" init --preset tiny --out model
refuses "unknown command" "there is no command 'looplm frob'; expected one of run, chat" "$looplm" frob
refuses "unknown subcommand" "there is no command 'looplm data make'; expected one of build, show" "$looplm" data make x
refuses "a mistyped command" "there is no command 'looplm data buidl'; did you mean 'build'" "$looplm" data buidl x
refuses "a mistyped option" "'looplm run' has no option --promt; did you mean --prompt" "$looplm" run model --promt=x
refuses "another program's option" "'looplm run' has no option --temperature; did you mean --temp" "$looplm" run model --temperature 1
refuses "an option of four other letters" "no option --save; looplm chat --help lists them" "$looplm" chat --save x
refuses "no such option" "'looplm run' has no option --frobnicate; looplm run --help lists them" "$looplm" run model --frobnicate
refuses "a word for a number" "looplm: --max-tokens: 'abc' is not a whole number from 0 to 16777216; looplm run --help lists the options" "$looplm" run model -n abc
refuses "an option that is needed" "looplm: --lora is required; looplm merge --help" "$looplm" merge model
"$looplm" help data build >help.out && "$looplm" data build --help | cmp -s - help.out || fail "help data build"
"$looplm" help help >help.out && "$looplm" --help | cmp -s - help.out || fail "help help"
"$looplm" info --help >help.out && "$looplm" --help info | cmp -s - help.out || fail "--help info"
"$looplm" --version info | grep -q "^looplm [0-9]" || fail "--version info"
refuses "no command" "^  run +Generate text" "$looplm"
refuses "no subcommand" "^Usage: looplm data " "$looplm" data
"$looplm" --help >out 2>err || fail "--help"
[ -s out ] && [ ! -s err ] || fail "--help says something on standard error"
refuses "no such model" "there is no 'nope'; expected a model's directory, a GGUF file, or ORG/NAME" "$looplm" run nope --ids 1
refuses "stop id" "--stop-id: 300 is not an id of the model; expected 0 to 299" "$looplm" run model --ids 1 --stop-id 300
for command in "init --preset tiny --out no" "run model --ids 1" "chat model" "tune model t" "data arithmetic --out no" "data word-problems --out no"; do
  for seed in -1 18446744073709551616; do
    # shellcheck disable=SC2086
    refuses "$command --seed $seed" "--seed: $seed; expected a whole number from 0 to 18446744073709551615" "$looplm" $command --seed $seed
  done
done
refuses "a large number" "--first: 99999999999999999999; expected a whole number of 64 bits" "$looplm" data show x --first 99999999999999999999
refuses "empty stop" "--stop is empty" "$looplm" run model --ids 1 --stop ''

# --- data, tokenizer, train, eval: from text to a measured model
"$looplm" data arithmetic --examples 200 --out a.jsonl >/dev/null || fail "data arithmetic"
"$looplm" tokenizer train a.jsonl --vocab-size 300 --min-frequency 1 --out tok >/dev/null || fail "tokenizer train"
"$looplm" tokenizer encode tok -p "7-2*3=" >ids || fail "tokenizer encode"
"$looplm" tokenizer decode tok <ids >text || fail "tokenizer decode"
[ "$(cat text)" = "7-2*3=" ] || fail "tokenizer: $(cat text)"
cp -r model chat && cp tok/*.json chat || fail "chat model"
printf 'ab\ncd\n' | "$looplm" run chat -n 4 --ignore-eos -q >lf || fail "prompts with LF"
printf '\357\273\277ab\r\n\r\ncd\r\n' | "$looplm" run chat -n 4 --ignore-eos -q >crlf || fail "prompts with CR LF"
cmp -s lf crlf || fail "CR LF is part of the prompt"
refuses "prompt in Latin-1" "the prompt: byte 3 .0xE9" "$looplm" run chat -p "$(printf 'caf\351')"
"$looplm" info chat >info || fail "info"
expect "ends of text" 'ends of text +0 "<.endoftext.>": config.json: eos_token_id; tokenizer_config.json: eos_token' info
echo '{"eos_token_id": [0, 7]}' >chat/generation_config.json
"$looplm" info chat --json >info.json || fail "info of generation_config.json"
expect "ends of text in JSON" '"generation_config.json: eos_token_id"' info.json
echo '{"eos_token_id": 300}' >chat/generation_config.json
# a tokenizer with a pattern that some texts take for ever to match
cp -r tok hopeless && cp -r model stuck || fail "hopeless tokenizer"
sed 's/"type": "Digits"/"type": "Split", "pattern": {"Regex": "((a+)+)+$"}, "behavior": "Isolated", "invert": false/; /individual_digits/d; s/"invert": false,/"invert": false/' \
  tok/tokenizer.json >hopeless/tokenizer.json
cp hopeless/*.json stuck || fail "hopeless model"
aaa=$(printf 'a%.0s' 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0)b
limit="regular expression '\(\(a\+\)\+\)\+\\\$' on a text of 41 bytes: match limit exceeded"
"$looplm" tokenizer encode hopeless -p "7-2" >ids2 || fail "an easy text and a hopeless pattern"
refuses "tokenizer: match limit" "$limit" "$looplm" tokenizer encode hopeless -p "$aaa"
refuses "run: match limit" "$limit" "$looplm" run stuck -n 2 -p "$aaa"
printf 'x\n\n%s\n' "$aaa" >aaa.txt
refuses "data build: match limit" "aaa.txt:[0-9]+: regular expression" "$looplm" data build aaa.txt --tokenizer hopeless --out aaa.tokens
[ ! -e aaa.tokens ] || fail "data build left a shard"
refuses "an end outside the vocabulary" "chat/generation_config.json: 'eos_token_id' is 300" "$looplm" run chat -p a
"$looplm" data build a.jsonl --tokenizer tok --out a.tokens --json >build.json || fail "data build"
expect "data build" '"documents":200' build.json
"$looplm" data show a.tokens --tokenizer tok -n 1 >show || fail "data show"
expect "data show" 'read +"[0-9*+-]+="' show
cat >run.toml <<'TOML'
[model]
from = "model"
tokenizer = "tok"
[data]
train = "a.tokens"
sequence_length = 32
[batch]
sequences = 2
[run]
steps = 6
out = "run"
TOML
"$looplm" train run.toml --plan >plan || fail "train --plan"
expect "train --plan" "^  optimiser moments" plan
expect "train --plan" "^time: [0-9]+ steps" plan
expect "train --plan" "block_inputs \(now\)" plan
expect "train --plan" "this run fits; nothing was started or written" plan
"$looplm" train run.toml --set 'objective.kind="stage2"' --plan >gate.plan || fail "train --plan of Stage II"
expect "train --plan of Stage II" "^  optimiser moments +520 B" gate.plan
[ ! -e run ] || fail "train --plan wrote"
"$looplm" train run.toml >/dev/null || fail "train"
refuses "train --plan of a run that is there" "this run would not start: 'run' already holds a run at step 6; pass --resume" \
  "$looplm" train run.toml --plan
expect "train --plan of a run that is there" "this run fits; nothing was started or written" out
# the model as a GGUF file, which says the same
rm chat/generation_config.json
"$looplm" export chat --gguf chat.gguf --dtype F32 >/dev/null || fail "export"
for model in chat chat.gguf; do
  "$looplm" run "$model" -p "7-2*3=" -n 8 --temp 0 --ignore-eos --json -q | grep -o '"ids":.*"text"' >"with.$model" || fail "run $model"
done
cmp -s with.chat with.chat.gguf || fail "the exported model says something else"
[ -s chat.gate.safetensors ] || fail "export: no gate beside the file"
refuses "export into a folder that is not there" "none/model.gguf" "$looplm" export chat --gguf none/model.gguf

# an adapter beside the model, and merged into it
printf '[lora]\nrank = 2\nalpha = 4\ndropout = 0.1\ntargets = ["q_proj", "down_proj"]\nper_loop = false\n' | cat run.toml - >lora.toml
"$looplm" train lora.toml --set 'run.out="lora"' --set optimizer.learning_rate=0.05 >/dev/null || fail "train an adapter"
[ "$(cd lora/model && echo *)" = "adapter_config.json adapter_model.safetensors" ] || fail "adapter: $(ls lora/model)"
"$looplm" merge model --lora lora/model --out merged >/dev/null || fail "merge"
for directory in "model --lora lora/model" merged model; do
  # shellcheck disable=SC2086
  "$looplm" run $directory --ids 1,2,3 -n 8 --temp 0 --ignore-eos --json -q | grep -o '"ids":.*"text"' >"with.${directory##*/}" ||
    fail "run $directory"
done
cmp -s with.model with.merged && fail "the adapter changes nothing"
# the token that ends a turn of the model's own chat template
cp -r model turns && cp tok/tokenizer.json turns || fail "turns"
sed 's/"eos_token_id": *[^,}]*/"eos_token_id": null/' model/config.json >turns/config.json
printf '{%% for m in messages %%}<|endoftext|>{{ m.content }}{%% endfor %%}' >turns/chat_template.jinja
"$looplm" merge turns --lora lora/model --out merged.turns >/dev/null || fail "merge of turns"
tr -d ' \n' <merged.turns/config.json >flat
expect "merge: the end of a turn" '"eos_token_id":\[?0' flat
rm -r turns merged.turns
"$looplm" run model --lora lora/model --ids 1,2,3 -n 8 --temp 0 --ignore-eos --json -q | grep -o '"ids":.*"text"' >with.adapter
cmp -s with.adapter with.merged || fail "--lora and the merged model differ"
"$looplm" train lora.toml --set 'run.out="own"' --set lora.per_loop=true --set optimizer.learning_rate=0.05 >/dev/null ||
  fail "train an adapter for each loop"
answer() { "$looplm" run "$@" --ids 1,2,3 -n 8 --temp 0 --ignore-eos --json -q | grep -o '"ids":.*"text"'; }
answer model --lora own/model >with.own || fail "run with an adapter for each loop"
cmp -s with.model with.own && fail "adapters of the loops change nothing"
refuses "merge of adapters of loops" "cannot be merged" "$looplm" merge model --lora own/model --out merged2
"$looplm" quantize model --dtype int8 --out model8 >/dev/null || fail "quantize"
"$looplm" train lora.toml --set 'model.from="model8"' --set 'run.out="lora8"' --set optimizer.learning_rate=0.05 >/dev/null ||
  fail "train an adapter beside int8"
answer model8 >with.int8 && answer model8 --lora lora8/model >with.lora8 || fail "run int8 with an adapter"
cmp -s with.int8 with.lora8 && fail "an adapter beside int8 changes nothing"
refuses "merge into int8" "small integers" "$looplm" merge model8 --lora lora8/model --out merged3
refuses "no such start" "model.from: there is no 'nope'" "$looplm" train lora.toml --set 'model.from="nope"'
refuses "rank 0" "lora.rank is 0" "$looplm" train lora.toml --set lora.rank=0
refuses "no adapter" "run/model/adapter_config.json" "$looplm" run model --lora run/model --ids 1

"$looplm" eval run/model --data a.jsonl --limit 20 --loops 6 --by operations --json >eval.json 2>/dev/null || fail "eval"
expect "eval" '"trained_loops":4' eval.json
expect "eval" '"loops":6' eval.json
cat >sums.yaml <<'YAML'
name: digits
kind: classification
data: a.jsonl
category: operations
prompt: "{{prompt}}"
choices: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
answer: {field: completion, as: index}
few_shot: {count: 1, separator: " "}
YAML
cat >written.yaml <<'YAML'
name: written
kind: generate
data: a.jsonl
prompt: "{{prompt}}"
answer: {text: "{{completion}}"}
compare: number
generation: {max_tokens: 2}
YAML
"$looplm" eval run/model sums.yaml written.yaml --limit 20 --resamples 10 --generate-loops 1,4 --generate-exit q:0.5 --save saved \
  --json >tasks.json 2>/dev/null || fail "eval tasks"
expect "eval tasks" '"task":"digits".*"exit":"fixed","loops":8,.*"exit":"q","threshold":0.1,.*"exit":"difference".*"task":"written"' tasks.json
for threads in 1 3; do
  "$looplm" eval run/model sums.yaml --limit 20 --resamples 10 --threads $threads --csv >csv.$threads 2>/dev/null || fail "eval --csv"
done
cmp -s csv.1 csv.3 || fail "eval: other figures with other threads"
expect "eval --csv" '^digits,,fixed,,4,4,20,acc,0' csv.1
[ "$(wc -l <"saved/written.q-0.50.jsonl")" = 20 ] || fail "eval --save: $(ls saved)"
"$looplm" eval --list >list || fail "eval --list"
expect "eval --list" '^mmlu +multiple_choice +yours' list
expect "eval --list" '^sums +classification +shipped' list
sed 's/prompt:/promt:/' sums.yaml >typo.yaml
refuses "task key" "typo.yaml:5: unknown key 'promt'" "$looplm" eval run/model typo.yaml
refuses "task data" "no file 'mmlu/test.jsonl'.*cais/mmlu" "$looplm" eval run/model mmlu
refuses "task name" "no task is called 'mmmlu'" "$looplm" eval run/model mmmlu
refuses "no task" "looplm eval run/model sums" "$looplm" eval run/model
refuses "exit rule" "no rule is called 'mood'" "$looplm" eval run/model sums.yaml --exit mood:1
refuses "no tokenizer" "tokenizer.json" "$looplm" eval model sums.yaml
# A task where a model may stand is a task, of the model that is used when none is named.
sed 's/name: digits/name: sums/' sums.yaml >digits.yaml
for command in "eval sums" "eval sums.yaml" "eval digits.yaml run/model" "tune sums --dry-run --loss 100"; do
  # shellcheck disable=SC2086
  LOOPLM_MODEL=run/model "$looplm" $command --limit 100 >out 2>err || fail "$command: $(cat err)"
  expect "$command" '(^|[0-9]{1,4} questions of )(sums|digits)' out
done
"$looplm" export run/model --gguf here.gguf >/dev/null && "$looplm" tune here.gguf sums.yaml --limit 100 --loss 100 >out || fail "tune a GGUF file"
expect "tune a GGUF file" "written to here.depth.json" out
"$looplm" run here.gguf -p 7 -n 1 >out 2>err || fail "run at a tuned depth"
expect "run at a tuned depth" '^depth: .* as tuned on digits' err
for option in "-n 1000" "--top-p 0" "--read-out weighted --kv last --speculate" "--prompt-kv as-decoded"; do
  # shellcheck disable=SC2086
  refuses "run at a tuned depth $option" "^looplm: " "$looplm" run here.gguf -p 7 $option
  [ "$(wc -l <err)" = 1 ] || fail "run $option: more than the error: $(cat err)"
done
cp -r run/model folder.gguf && "$looplm" tune folder.gguf sums.yaml --limit 100 --loss 100 >out || fail "tune a folder called like a GGUF file"
expect "tune a folder called like a GGUF file" "written to folder.gguf/looplm-depth.json" out
rm -r folder.gguf
mkdir sums
refuses "a folder that is called like a task" "name tasks after the model .'looplm eval sums sums'" "$looplm" eval sums
rmdir sums
"$looplm" eval --exit q:0.5 --generate-loops 1,2 run/model sums.yaml --limit 5 --resamples 0 --json >swallowed.json 2>/dev/null ||
  fail "eval: options before positionals"
expect "eval --exit first" '"exit":"q","threshold":0.5' swallowed.json
"$looplm" eval run/model sums.yaml --exit q:0.123,0.124 --limit 5 --resamples 0 >thresholds 2>/dev/null || fail "eval: close thresholds"
expect "eval: close thresholds" '^q 0.123 ' thresholds
expect "eval: close thresholds" '^q 0.124 ' thresholds
grep -q 'intervals' thresholds && fail "eval --resamples 0 speaks of intervals"
"$looplm" eval run/model --data a.jsonl --limit 5 --resamples 0 --thresholds 0.123,0.124 >thresholds 2>/dev/null || fail "eval --data"
expect "eval --data: close thresholds" '^q 0.124 ' thresholds
grep -Eq 'intervals|\[' thresholds && fail "eval --data --resamples 0 speaks of intervals"
for option in "--csv" "--html x.html" "--save x" "--exit q:0.5" "--data-dir ." "--generate-loops 1" "--generate-exit q:0.5"; do
  # shellcheck disable=SC2086
  refuses "eval --data $option" "${option%% *}.*--data|--data.*${option%% *}" "$looplm" eval run/model --data a.jsonl $option
done
for option in "--by operations" "--thresholds 0.5"; do
  # shellcheck disable=SC2086
  refuses "eval TASK $option" "${option%% *}.*--data" "$looplm" eval run/model sums.yaml $option
done
refuses "eval --limit" "limit.*-1; expected 0 \(all\) or more" "$looplm" eval run/model sums.yaml --limit -1
refuses "the same task twice" "both called 'digits'" "$looplm" eval run/model sums.yaml ./sums.yaml
refuses "the same setting twice" "twice" "$looplm" eval run/model written.yaml --generate-exit q:0.5,0.50
refuses "eval --html" "nowhere/x.html" "$looplm" eval run/model sums.yaml --html nowhere/x.html
refuses "eval --save" "sums.yaml" "$looplm" eval run/model written.yaml --save sums.yaml
mkdir -p blocked/written.1-loop.jsonl
refuses "a text that cannot be saved" "written.1-loop.jsonl" \
  "$looplm" eval run/model sums.yaml written.yaml --limit 5 --resamples 0 --generate-loops 1 --save blocked
expect "finished tasks are printed" '^digits' out
expect "finished tasks are printed" '^written' out

# --- experiment: from settings to a report; a run that is interrupted goes on to the same figures
"$looplm" experiment list >studies || fail "experiment list"
expect "experiment list" '^reachability +' studies
cat >paths.toml <<'TOML'
[theorem]
nodes = [6]
graphs = [1]
random_graphs = 2
ablation_nodes = 6
ablation_graphs = 2
[task]
length = 2
queries = 2
[model]
shapes = ["1x2", "1x1"]
hidden_size = 16
heads = 2
intermediate_size = 16
[training]
steps = 1500
sequences = 2
sequence_length = 32
validations = 3
checkpoint_every = 100
[evaluation]
validation_examples = 8
examples = 6
loops = 3
TOML
"$looplm" experiment run reachability --settings paths.toml --out whole --jobs 2 >out 2>err || fail "experiment: $(cat err)"
expect "experiment" '^whole/report.html$' out
expect "experiment report" '^\| the matrices as printed .* \*\*not\*\*' whole/report.md
expect "experiment figure" '<svg' whole/report.html
"$looplm" experiment run reachability --settings paths.toml --out halves --threads 1 >/dev/null 2>&1 &
pid=$!
while [ ! -e halves/cells/paths-1x2-s1/run/log.jsonl ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -INT $pid
wait $pid && fail "experiment: an interrupted run ends with status 0"
[ ! -e halves/results.json ] || fail "experiment: an interrupted run has results"
"$looplm" experiment run reachability --settings paths.toml --out halves --threads 1 >/dev/null 2>err || fail "experiment resumed: $(cat err)"
cmp whole/results.json halves/results.json || fail "experiment: interrupted, other figures"
mkdir alone && cp whole/results.json alone
"$looplm" experiment report reachability --out alone >/dev/null 2>err || fail "experiment report: $(cat err)"
cmp whole/report.md alone/report.md || fail "experiment report: from results.json alone, another report"
refuses "study" "no study 'reach'.*reachability" "$looplm" experiment run reach
refuses "study setting" "training.stepz" "$looplm" experiment run reachability --settings paths.toml --set training.stepz=1 --out x
refuses "study shapes" "model.shapes" "$looplm" experiment run reachability --settings paths.toml --set 'model.shapes=[]' --out x
refuses "other settings" "whole" "$looplm" experiment run reachability --settings paths.toml --set training.steps=7 --out whole
"$looplm" run run/model -p "7-2*3=" -n 2 >text 2>/dev/null || fail "run -p"
"$looplm" info run/model >text || fail "info"
grep -q "runs in .*(--dtype auto)" text || fail "info: what it runs in"
grep -Eq "^  int4 +[0-9.]+ [KMG]?i?B +[0-9]+ \([0-9]+\)" text || fail "info: what fits: $(cat text)"

# --- a run that is killed and resumed gives the bits of one that was not
"$looplm" train run.toml --set run.steps=60 --set run.checkpoint_every=5 --set 'run.out="whole"' >/dev/null || fail "train whole"
"$looplm" train run.toml --set run.steps=60 --set run.checkpoint_every=5 --set 'run.out="killed"' >/dev/null 2>&1 &
training=$!
while [ ! -e killed/checkpoints/step-00000010 ] && kill -0 $training 2>/dev/null; do sleep 0.02; done
kill -9 $training
wait $training 2>/dev/null
[ ! -e killed/model ] || echo "note: the run ended before it was killed"
"$looplm" train run.toml --set run.steps=60 --set run.checkpoint_every=5 --set 'run.out="killed"' --resume >/dev/null ||
  fail "train --resume"
for file in config.json model.safetensors; do
  cmp whole/model/$file killed/model/$file || fail "resumed run: another $file"
done

# --- help
"$looplm" run --help | tr -s ' \n' ' ' >help
expect "run --help" "fixed: run all loops; q" help
expect "run --help" "first \(one set instead of one per loop" help
for command in run trace info init data "data build" tokenizer "tokenizer train" train eval bench "bench kernels" "bench decode" "bench speculate" quantize merge compare; do
  # shellcheck disable=SC2086
  "$looplm" $command --help >help 2>&1 || fail "$command --help"
  expect "$command --help" "Usage" help
  grep -qE '^ {34}.{67}' help && fail "$command --help: a line has more than 100 columns"
done
# At a terminal, no line is longer than the terminal.
for command in "--help" "run --help" "eval --help" "info chat" "eval --list" "experiment list" "eval run/model sums.yaml --limit 20 --resamples 10" \
  "eval run/model --data a.jsonl --limit 20 --by operations" "bench speculate run/model --rounds 1 --tokens 2 --prompt-count 1" \
  "bench decode model --rounds 1 --tokens 2 --context 2"; do
  script -qec "stty cols 80; '$looplm' $command 2>/dev/null" /dev/null </dev/null | tr -d '\r' >narrow || fail "$command at a terminal"
  expect "$command at a terminal" "^(Usage|this machine|sums +classification|reachability )|  (acc gain \(points\)|accuracy gain.*|agreement by loop|% of peak)$" narrow
  grep -vE '^  ends of text' narrow | grep -E '.{81}' && fail "$command: a line has more than 80 columns"
done
# Nor is a line folded that fits, whatever its bytes.
printf '{"prompt":"7-%s=","completion":"%s","level":"сложение и вычитание"}\n' 2 5 3 4 >letters.jsonl
script -qec "stty cols 80; '$looplm' eval run/model --data letters.jsonl --by level --resamples 0 2>/dev/null" /dev/null </dev/null | tr -d '\r' >narrow ||
  fail "eval of other letters at a terminal"
expect "eval of other letters at a terminal" "^сложение и вычитание {2}" narrow
grep '^сложение и вычитание [^ ]' narrow && fail "a line that fits is folded"
TERM=dumb script -qec "'$looplm' run chat -p a -n 1 --show-loops" /dev/null </dev/null >dumb || fail "run at a dumb terminal"
grep -q "$(printf '\033')" dumb && fail "colours at a dumb terminal: $(cat -v dumb)"
LOOPLM_MODEL=chat "$looplm" info >info || fail "info without a model"
expect "info without a model" "^chat$" info

# --- speculation and small integers
"$looplm" run model --ids 1,2,3 -n 16 --temp 0 --ignore-eos --json -q >plain || fail "run"
"$looplm" run model --ids 1,2,3 -n 16 --temp 0 --ignore-eos --json -q --speculate loop:1 >fast || fail "run --speculate"
[ "$(sed 's/,"log_prob.*//' plain)" = "$(sed 's/,"log_prob.*//' fast)" ] || fail "speculation changed the tokens"
for format in int8 int4; do
  "$looplm" quantize model --dtype $format --out q-$format >/dev/null || fail "quantize --dtype $format"
  "$looplm" run q-$format --ids 1,2,3 -n 8 --temp 0 --ignore-eos --json -q >stored || fail "run q-$format"
  "$looplm" run model --dtype $format --ids 1,2,3 -n 8 --temp 0 --ignore-eos --json -q >rounded || fail "run --dtype $format"
  [ "$(sed 's/,"text.*//' stored)" = "$(sed 's/,"text.*//' rounded)" ] || fail "$format: the file is another model"
done
refuses "quantize onto itself" "--out is './/model/', the model itself; expected another name" "$looplm" quantize model --to int8 --out .//model/
refuses "merge onto the base" "--out is 'model', the model itself" "$looplm" merge model --lora lora/model --out model
refuses "export onto the weights" "--gguf is 'model/model.safetensors', a file of the model itself" "$looplm" export model --gguf model/model.safetensors
refuses "export onto the configuration" "--gguf is 'model/config.json', a file of the model itself" "$looplm" export model --gguf model/config.json
cd model
refuses "export onto a file of the folder it stands in" "--gguf is 'config.json', a file of the model itself" "$looplm" export . --gguf config.json
rm -f out err
cd ..
refuses "export onto itself" "--gguf is './chat.gguf', the model itself" "$looplm" export chat.gguf --gguf ./chat.gguf
# A link stays, and what is written goes where it leads.
mkdir linked && ln -s linked/new.gguf new.gguf && ln -s linked/q8 q8 && ln -s model/model.safetensors weights.gguf && ln -s loop.gguf loop.gguf
"$looplm" export chat --gguf new.gguf >/dev/null && [ -L new.gguf ] && [ -f linked/new.gguf ] || fail "export through a link: $(ls -l new.gguf linked)"
"$looplm" quantize model --out q8 >/dev/null && [ -L q8 ] && [ -f linked/q8/config.json ] || fail "quantize through a link: $(ls -l q8 linked)"
cp -r model outer
for time in first second; do
  "$looplm" quantize outer --dtype INT8 --out outer/q8 >/dev/null || fail "quantize into the model's folder, the $time time"
done
refuses "export through a link onto the weights" "--gguf is 'weights.gguf', a file of the model itself" "$looplm" export model --gguf weights.gguf
refuses "export through a link to itself" "'loop.gguf': Too many levels of symbolic links" "$looplm" export chat --gguf loop.gguf
# their older names
"$looplm" quantize model --to int4 --out older >/dev/null && cmp -s older/model.safetensors q-int4/model.safetensors || fail "quantize --to"
"$looplm" export chat --gguf older.gguf --type Q8_0 >out || fail "export --type"
expect "export --type" "in Q8_0" out
"$looplm" export chat --gguf older.gguf --dtype bf16 >out || fail "export --dtype bf16"
expect "export --dtype bf16" "in BF16" out
for command in list "rm A/B"; do
  # shellcheck disable=SC2086
  refuses "$command without a home" "^looplm: there is no place for models: set HOME" env -u HOME -u HF_HOME -u HF_HUB_CACHE -u HUGGINGFACE_HUB_CACHE -u XDG_CACHE_HOME "$looplm" $command
done
refuses "quantised twice" "quantised already" "$looplm" quantize q-int8 --out twice
[ ! -e twice ] || fail "a refused quantize left a directory"
"$looplm" compare model --samples 1 --tokens 8 --dtype int8 --format json >compared || fail "compare"
expect "compare" '"loop":2' compared
refuses "speculation" "loop:N" "$looplm" run model --ids 1 --speculate often
refuses "speculation loop" "is 9" "$looplm" run model --ids 1 --speculate loop:9
refuses "speculation and policy" "full" "$looplm" run model --ids 1 --speculate loop:1 --kv last
refuses "speculation by itself and policy" "full" "$looplm" run model --ids 1 --kv last --speculate
refuses "prompt and policy" "one plane" "$looplm" run model --ids 1 --prompt-kv as-decoded
"$looplm" run model --ids 1,2,3 -n 2 --kv last --prompt-kv as-decoded -q >decoded || fail "run --prompt-kv"
"$looplm" bench decode model --dtype f32 --rounds 1 --tokens 2 --context 2 --format json >benched || fail "bench decode"
expect "bench decode" '"tok/s"' benched

# --- wrong input
refuses "no directory" "absent" "$looplm" run absent --ids 1
refuses "no GGUF file" "absent.gguf" "$looplm" run absent.gguf --ids 1
refuses "not a GGUF file" "expected a GGUF file or a model's directory" "$looplm" info shape/config.json
refuses "gate of a directory" "is not a GGUF file" "$looplm" run model --gate model --ids 1
refuses "no tokenizer" "no tokenizer with it" "$looplm" run model -p hello
refuses "id" "300" "$looplm" run model --ids 300
refuses "ids" "one" "$looplm" run model --ids 1,one
refuses "option" "no-such" "$looplm" run model --no-such
[ $status = 2 ] || fail "a mistake on the command line: status $status"
refuses "threshold" "1.5" "$looplm" run model --ids 1 --exit q --threshold 1.5
for option in --top-p=0 --temp=-1 --top-k=-1 --min-p=2 --repetition-penalty=0 --presence-penalty=1e9 --frequency-penalty=-1e9 --logit-bias=1=1e20 --min-loops=9; do
  refuses "run $option" "^looplm: ${option%%=*} (of token 1 )?is .*; expected" "$looplm" run model --ids 1 $option
done
refuses "a bias of no token" "^looplm: --logit-bias names token 300;" "$looplm" run model --ids 1 --logit-bias 300=1
refuses "run file" "stepz" "$looplm" train run.toml --set run.stepz=3
refuses "empty corpus" "no " sh -c ": >empty.txt; '$looplm' data build empty.txt --tokenizer tok --out e.tokens"
[ ! -e e.tokens ] || fail "an empty corpus left a shard"

# what a file holds can be long, and could steer a terminal
mkdir odd && cp shape/config.json odd && printf '{"\\u001b[2J\\u009b": 1, "\\u001b[2J\\u009b": 2}' >odd/config.json
refuses "control characters in a message" "key '.x1b\[2J.u009b' is given twice" "$looplm" info odd
printf '{"model_type": "%s"}' "$(printf 'x%.0s' $(seq 9000))" >odd/config.json
refuses "a long name in a message" "model_type" "$looplm" info odd
[ "$(wc -c <err)" -lt 4500 ] || fail "a message of $(wc -c <err) bytes"
refuses "control characters in an option" "dtype: '.x1b\[2J' is not one of auto, f32" "$looplm" run model --dtype "$(printf '\033[2J')"
LOOPLM_DTYPE=frob LOOPLM_KV_TYPE=frob "$looplm" info model >/dev/null || fail "a bad value in the environment of another command"
refuses "a bad value in the environment" "^looplm: --dtype \(.LOOPLM_DTYPE\): 'frob' is not one of" env LOOPLM_DTYPE=frob "$looplm" run model --ids 1
refuses "another bad value in the environment" "LOOPLM_THREADS is 'x'" env LOOPLM_THREADS=x "$looplm" run model --ids 1
refuses "a flag in the environment" "^looplm: --share-prefixes \(.LOOPLM_SHARE_PREFIXES\): 'maybe' is not true or false" env LOOPLM_SHARE_PREFIXES=maybe "$looplm" serve model --port 0
refuses "a setting that is read later" "^looplm: --speculate \(.LOOPLM_SPECULATE\) is 'frob'" env LOOPLM_SPECULATE=frob "$looplm" serve model --port 0
refuses "a gate file in the environment" "^looplm: LOOPLM_GATE: .*'no.safetensors'" env LOOPLM_GATE=no.safetensors "$looplm" run model --ids 1
refuses "more models in the environment" "^looplm: --model \(.LOOPLM_MODELS\): there is no 'nope'" env LOOPLM_MODELS=b=nope "$looplm" serve model --port 0
for command in "run --ids 1" "info" "eval sums" "tune sums" "serve --port 0"; do
  # shellcheck disable=SC2086
  refuses "$command: no such model in the environment" "^looplm: LOOPLM_MODEL: there is no 'nope'; expected" env LOOPLM_MODEL=nope "$looplm" $command
done
for command in "eval" "eval sums" "tune sums"; do
  # shellcheck disable=SC2086
  refuses "$command: a task in the environment" "^looplm: LOOPLM_MODEL: 'sums' is a task; expected a model;" env LOOPLM_MODEL=sums "$looplm" $command
done
for given in "LOOPLM_API_KEY= LOOPLM_API_KEY_FILE=no.keys" "LOOPLM_API_KEY_FILE= LOOPLM_API_KEY=a"; do
  # shellcheck disable=SC2086
  refuses "serve with an empty key beside another ($given)" "cannot read 'no.keys'|TLS needs" env $given "$looplm" serve model --port 0 --tls-key no.pem
done
for option in --api-key --api-key-file; do
  refuses "serve $option of nothing" "^looplm: $option: it is empty" "$looplm" serve model --port 0 $option ""
done
for variable in LOOPLM_API_KEY LOOPLM_API_KEY_FILE; do
  refuses "serve with an empty $variable" "^looplm: $variable: it is empty" env $variable= "$looplm" serve model --port 0
done
printf '\357\273\277# none\r\n  # yet\n\t\n' >no.keys
refuses "serve with a file of comments" "^looplm: --api-key-file: 'no.keys' has no key" "$looplm" serve model --port 0 --tls-key no.pem --api-key-file no.keys
rm no.keys
echo 'tls-key = "no.pem"' >tls.toml
refuses "a key of a settings file with a certificate of the command line" "TLS certificate 'no.pem'" "$looplm" serve model --port 0 --tls-certificate no.pem --config tls.toml
refuses "a certificate without a key" "TLS needs a certificate and its key" "$looplm" serve model --port 0 --tls-certificate no.pem
refuses "a variable that is not to blame" "^looplm: --speculate is '1'" env LOOPLM_SHARE_PREFIXES=1 "$looplm" serve model --port 0 --speculate 1
refuses "a name in the environment that is not to blame" "^looplm: --lora x=x: as an adapter of the model 'model'" env LOOPLM_NAME=model "$looplm" serve model --port 0 --lora x
refuses "good origins" "TLS needs" "$looplm" serve model --port 0 --tls-key no.pem --cors https://a.org:8080,null,'*'
for origin in a.org https://a.org/ 'https://a b' ://a ' https://b.org' 'https://*.a.org' 'https://a.org?x'; do
  refuses "serve --cors $origin" "^looplm: --cors: .* is not an origin; expected one such as https://a.org" "$looplm" serve model --port 0 --cors "*,$origin"
done
echo 'share-prefixes = "maybe"' >serve.toml
refuses "a flag in a settings file" "^looplm: serve.toml: --share-prefixes: 'maybe' is not true or false;" "$looplm" serve model --port 0 --config serve.toml
refuses "the command line's model, not the environment's" "^looplm: there is no 'nope'" env LOOPLM_MODEL=model "$looplm" info nope
refuses "the command line's, which is the environment's too" "^looplm: there is no 'nope'" env LOOPLM_MODEL=nope "$looplm" info nope
refuses "a number with an exponent" "^looplm: --context: '1e3' is not a whole number;" "$looplm" serve model --context 1e3
LOOPLM_IAS=avx2 "$looplm" run model --ids 1 -n 1 >/dev/null 2>err
expect "two letters of a short variable in the wrong order" "nothing reads LOOPLM_IAS, .* did you mean LOOPLM_ISA\?" err
LOOPLM_DTYP=f32 LOOPLM_ROOT=/ LOOPLM_PORT_80_TCP=tcp://1 LOOPLM_KVGIB=1 LOOPLM_KV_GIB=1 "$looplm" run model --ids 1 -n 1 >/dev/null 2>err || fail "a mistyped variable"
expect "a mistyped variable" "^looplm: nothing reads LOOPLM_DTYP, .* did you mean LOOPLM_DTYPE\?" err
[ "$(grep -c "nothing reads" err)" = 1 ] || fail "warnings of other variables: $(cat err)"
refuses "a long word in the environment" "LOOPLM_KV_TYPE|kv-type" env LOOPLM_KV_TYPE="$(printf 'x%.0s' $(seq 9000))" "$looplm" run model
[ "$(wc -c <err)" -lt 4500 ] || fail "a message of $(wc -c <err) bytes"

mkdir cut nan
cp model/* cut
size=$(wc -c <cut/model.safetensors)
head -c $((size / 2)) model/model.safetensors >cut/model.safetensors
refuses "truncated weights" "model.safetensors" "$looplm" info cut
cp model/* nan
printf '\377\377\377\377' | dd of=nan/model.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
refuses "NaN weights" "finite|nan|NaN" "$looplm" run nan --ids 1

# --- what a killed command had begun goes when its target is written again; what somebody still writes stays
rm -rf model8 merged a.tokens chat.gguf chat.g*.safetensors
mkdir model8.4000000.1.tmp merged.4000000.1.tmp && echo 1 >model8.4000000.1.tmp/config.json
touch a.tokens.4000000.1.tmp chat.gguf.4000000.1.tmp chat.gate.safetensors.4000000.2.tmp chat.gguf.4000001.1.tmp mine.4000000.1.tmp
exec 9>chat.gguf.4000001.1.tmp && flock 9
"$looplm" quantize model --to int8 --out model8 >/dev/null && "$looplm" merge model --lora lora/model --out merged >/dev/null &&
  "$looplm" data build a.jsonl --tokenizer tok --out a.tokens >/dev/null && "$looplm" export chat --gguf chat.gguf >/dev/null || fail "written again"
exec 9>&-
[ "$(echo *.tmp)" = "chat.gguf.4000001.1.tmp mine.4000000.1.tmp" ] || fail "leftovers: $(echo *.tmp)"

# --- a full disk
if [ "$(id -u)" = 0 ] && mkdir full && mount -t tmpfs -o size=64k tmpfs full 2>/dev/null; then
  refuses "full disk: init" "full" "$looplm" init --config shape --out full/model
  refuses "full disk: data" "full" "$looplm" data arithmetic --examples 100000 --out full/a.jsonl
  refuses "full disk: quantize" "full/model8.*No space left" "$looplm" quantize model --to int8 --out full/model8
  refuses "full disk: merge" "full/merged.*No space left" "$looplm" merge model --lora lora/model --out full/merged
  refuses "full disk: export" "full/chat.gguf.*No space left" "$looplm" export chat --gguf full/chat.gguf
  refuses "full disk: train" "full/run.*No space left" "$looplm" train run.toml --set 'run.out="full/run"'
  [ "$(find full -type f)" = full/run/log.jsonl ] || fail "a full disk keeps $(find full -type f)"
  rm -r full/run
  [ -z "$(ls full)" ] || fail "a full disk keeps $(ls full)"
  umount full
fi
if [ "$(id -u)" = 0 ] && mkdir readonly && mount -t tmpfs -o size=2m tmpfs readonly 2>/dev/null; then
  cp -r run/model readonly && mount -o remount,ro readonly || fail "a read-only model"
  refuses "tune of a read-only model" "cannot write into '.*readonly/model': .*; --dry-run only prints" "$looplm" tune readonly/model sums.yaml
  [ ! -s out ] || fail "tune measures before it knows where to write: $(cat out)"
  umount readonly
fi
refuses "threads that the system refuses" "^looplm: cannot start 1000 threads: Resource temporarily unavailable" \
  sh -c "ulimit -v 2000000; '$looplm' run model --ids 1 -n 1 --threads 1000"
refuses "standard output" "output" sh -c "'$looplm' trace model --ids 1,2,3 --json >/dev/full"

# --- a server's options from a file
echo 'max-requsts = 7' >wrong.toml
refuses "serve: unknown key" "max-requsts" "$looplm" serve model --config wrong.toml --port 0
echo 'port = 99999' >wrong.toml
refuses "serve: bad value" "wrong.toml: --port: .*99999" "$looplm" serve model --config wrong.toml
printf 'port = 0\nport = 1\n' >wrong.toml
refuses "serve: a value twice" "wrong.toml: --port: " "$looplm" serve model --config wrong.toml
refuses "serve: no file" "missing.toml" "$looplm" serve model --config missing.toml
printf 'host = "127.0.0.2"\nport = 0\nmodel = ["chat", "other=model"]\nlora = ["sums@other=lora/model"]\n' >serve.toml

# --- and its adapters, from wherever an option may come
cp -r own/model sums || fail "copy an adapter"
twice="two (models|adapters) are called 'sums'"
refuses "serve: two adapters of a name" "$twice" "$looplm" serve model --port 0 --lora sums=lora/model --lora sums/
refuses "serve: a model's name" "$twice" "$looplm" serve --lora sums model --name sums --port 0
refuses "serve: adapters of the environment" "$twice" env LOOPLM_LORA=sums=lora/model,sums "$looplm" serve model --port 0
echo 'lora = ["sums=lora/model", "sums=own/model"]' >lora.serve.toml
refuses "serve: adapters of a file" "$twice" "$looplm" serve model --port 0 --config lora.serve.toml
refuses "serve: another shape" "--lora other=lora/model: as an adapter of the model 'small': [^:]*adapter_model.safetensors" "$looplm" serve --port 0 --lora other=lora/model
refuses "serve: half an adapter" "expected NAME=FOLDER or FOLDER" "$looplm" serve model --port 0 --lora sums=
refuses "serve: an adapter of no model" "no model 'other'; expected one of 'model', 'more'" \
  "$looplm" serve model --model more=model --port 0 --lora sums@other=lora/model
refuses "serve: a name for no model" "--name is 'a'" "$looplm" serve --model model --name a --port 0

# --- and one whose log has no room
"$looplm" serve --config serve.toml >serve.out 2>/dev/full &
server=$!
while kill -0 $server 2>/dev/null && ! grep -q listening serve.out; do sleep 0.1; done
expect "serve" "^listening on http://127.0.0.2:[0-9]+$" serve.out
kill $server
wait $server || fail "serve: status $?"

finish
echo "the contract holds"

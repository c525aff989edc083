#!/bin/sh
# The bundled model of models/chat answers word problems that its training held out: in a chat, and in numbers.
#
#   word_problems.sh LOOPLM REPOSITORY
set -u
looplm=$(realpath "$1")
root=$(realpath "$2")
. "$(dirname "$0")/checks.sh"

# says ANSWER MESSAGE
says() {
  answer=$(echo "$2" | "$looplm" chat "$root/models/chat" 2>err) || fail "chat: $(cat err)"
  [ "$answer" = "$1" ] || fail "to '$2' it says '$answer', not '$1'"
}
says "There are 7 pens left." "Ann has 3 boxes with 4 pens each. She gives away 5 pens. How many are left?"
says "There are 5 cows left." "A farmer had 8 cows and 3 ran away. How many cows remain?"
says "I do not know. I can only work out small problems with numbers." "What is the capital of France?"
says "That is 7." "What is 3 + 4?"
says "Now Tom has 8 pens." "Ann has 5 pens. Tom has 3 more pens than Ann. How many pens does Tom have?"
said=$(printf '%s\n' "Mia has 12 cakes. She eats half of her cakes and finds 4 more. How many cakes does Mia have?" "Thanks!" \
  "She buys 2 more. How many cakes does Mia have now?" "What is 9 - 4 + 8?" | "$looplm" chat "$root/models/chat" 2>err | tr '\n' ' ')
[ "$said" = "Now Mia has 10 cakes. You are welcome. Now Mia has 12 cakes. That is 13. " ] || fail "a chat of four messages: $said"
[ ! -s err ] || fail "a chat without system prompt has nothing to note: $(cat err)"
echo "What is 3 + 4?" | "$looplm" chat "$root/models/chat" --system "Be short." >said 2>err
grep -q "no system messages" err || fail "a system prompt that the template has no role for: $(cat err)"

# at_least PERCENT KIND OPTIONS...: of 40 held-out problems of one to four steps, after four loops.
at_least() {
  bound=$1 kind=$2
  shift 2
  "$looplm" data word-problems --kind "$kind" --max-steps 4 --split held-out --examples 40 --seed 5 "$@" --out problems-story.jsonl >said ||
    fail "$kind: $(cat said)"
  "$looplm" eval "$root/models/chat" "$root/models/word-problems/held-out.yaml" --data-dir . --loops 4 --exit q:0.5 --resamples 0 --csv >said 2>err ||
    fail "$kind: $(cat err)"
  right=$(awk -F, '$2 == "" && $3 == "fixed" && $5 == 4 && $8 == "acc" { print 100 * $9 }' said)
  awk "BEGIN { exit !(\"$right\" != \"\" && $right >= $bound) }" || fail "$kind: $right% of the numbers are right, not $bound%"
}
at_least 97 story --people 1 --before 0
at_least 85 story --people 1 --before 0 --wording free
at_least 75 story --people 2 --before 0
at_least 97 sum
at_least 97 chain

finish

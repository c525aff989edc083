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
says "Hello! Tell me a small problem with numbers." "hi"
says "Now Gary has 12 plums." "Gary has 9 plums. He buys 3 more. How many plums does he have now?"
says "Now Tom has 8 pens." "Ann has 5 pens. Tom has 3 more pens than Ann. How many pens does Tom have?"
said=$(printf '%s\n' "Mia has 12 cakes. She eats half of her cakes and finds 4 more. How many cakes does Mia have?" "Thanks!" \
  "She buys 2 more. How many cakes does Mia have now?" "What is 9 - 4 + 8?" | "$looplm" chat "$root/models/chat" 2>err | tr '\n' ' ')
[ "$said" = "Now Mia has 10 cakes. You are welcome. Now Mia has 12 cakes. That is 13. " ] || fail "a chat of four messages: $said"
said=$(printf '%s\n' "Ann has 3 boxes with 4 pens each and gives 5 pens away. How many are left?" \
  "Tom has 6 apples. He eats 2 and buys 5 more. How many apples does Tom have?" "What is 3 + 4?" \
  "Max has 4 cards. Lily has twice as many cards as Max. Lily gives Max 3 cards. How many cards does Max have?" |
  "$looplm" chat "$root/models/chat" 2>err | tr '\n' ' ')
[ "$said" = "There are 7 pens left. Now Tom has 9 apples. That is 7. Now Max has 7 cards. " ] || fail "a chat of three stories: $said"
[ ! -s err ] || fail "a chat without system prompt has nothing to note: $(cat err)"
"$looplm" run "$root/models/chat" -p "Ann has 3 boxes with 4 pens each and gives 5 pens away. How many are left?" >said 2>err || fail "run: $(cat err)"
expect "a chat model that continues a text" "note: the model ended the text at once.*'looplm chat .*models/chat'" err
echo "What is 3 + 4?" | "$looplm" chat "$root/models/chat" --system "Be short." >said 2>err
grep -q "no system messages" err || fail "a system prompt that the template has no role for: $(cat err)"

# Of held-out problems of one to four steps, after four loops:
problems() { # FILE EXAMPLES KIND OPTIONS...
  file=$1 examples=$2 kind=$3
  shift 3
  "$looplm" data word-problems --kind "$kind" --max-steps 4 --split held-out --examples "$examples" --seed 5 "$@" --out "$file" >said ||
    fail "$kind: $(cat said)"
}
scores() { # PERCENT WHAT: of problems-story.jsonl
  "$looplm" eval "$root/models/chat" "$root/models/word-problems/held-out.yaml" --data-dir . --loops 4 --exit q:0.5 --resamples 0 --csv >said 2>err ||
    fail "$2: $(cat err)"
  right=$(awk -F, '$2 == "" && $3 == "fixed" && $5 == 4 && $8 == "acc" { print 100 * $9 }' said)
  awk "BEGIN { exit !(\"$right\" != \"\" && $right >= $1) }" || fail "$2: $right% of the numbers are right, not $1%"
}
at_least() { # PERCENT KIND OPTIONS...
  bound=$1
  shift
  problems problems-story.jsonl 40 "$@"
  scores "$bound" "$*"
}
behind_a_story() { # PERCENT KIND OPTIONS...: the second problem of a chat
  bound=$1
  shift
  problems first.jsonl 80 story --people 1 --before 0
  problems second.jsonl 40 "$@"
  "$root/models/word-problems/behind" first.jsonl second.jsonl >problems-story.jsonl || fail "behind: $?"
  scores "$bound" "$* behind a story"
}
at_least 97 story --people 1 --before 0
at_least 92 story --people 1 --before 0 --wording free
at_least 90 story --people 2 --before 0
at_least 85 story --people 1 --before 0 --wording wide
at_least 97 sum
at_least 97 chain
behind_a_story 90 story --people 1 --before 0
behind_a_story 80 story --people 2 --before 0
behind_a_story 95 sum

finish

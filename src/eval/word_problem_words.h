// The words that word problems are told with.
#ifndef LOOPLM_EVAL_WORD_PROBLEM_WORDS_H_
#define LOOPLM_EVAL_WORD_PROBLEM_WORDS_H_

#include <span>
#include <string>
#include <string_view>

namespace looplm {

struct ProblemName {
  std::string_view name;
  bool she;
};

struct ProblemVerb {
  std::string_view present, past;
  std::string_view base = {};  // of free wording: behind "I"; of what things do, behind one thing
};

struct SmallTalk {
  std::span<const std::string_view> questions;
  std::string_view answer;
  std::span<const std::string_view> more_questions;  // of wide wording
};

// The first ones are drawn more often, so that a small vocabulary has tokens of their own for these
// and learns to copy the others piece by piece.
std::span<const ProblemName> problem_names();
std::span<const ProblemName> held_out_names();
std::span<const std::string_view> problem_things();  // plurals in s
std::span<const std::string_view> problem_foods();
std::span<const std::string_view> problem_containers();
std::span<const ProblemVerb> gaining_verbs();
std::span<const ProblemVerb> losing_verbs();
std::span<const std::string_view> idle_sentences();

// Of free wording alone.
std::span<const ProblemName> problem_roles();           // "A farmer"
std::span<const std::string_view> problem_relatives();  // "her brother"
std::span<const std::string_view> free_containers();
std::span<const std::string_view> problem_animals();
std::span<const std::string_view> animal_places();   // "3 fields with 4 cows each"
std::span<const std::string_view> problem_places();  // "There are 4 cows in the field"
std::span<const ProblemVerb> free_gaining_verbs();
std::span<const ProblemVerb> free_losing_verbs();
std::span<const ProblemVerb>
problem_verb_forms();  // first words of all verbs whose subject is a person
// What things do themselves.
std::span<const ProblemVerb> coming_verbs(bool animals);
std::span<const ProblemVerb> leaving_verbs(bool animals, bool foods);

// Of wide wording alone.
std::span<const ProblemName> more_names();
std::span<const std::string_view> more_things(bool animals, bool foods);
std::span<const std::string_view> problem_colours();
std::span<const ProblemVerb> wide_gaining_verbs();
std::span<const ProblemVerb> wide_losing_verbs();

// "cherry" of "cherries", "pen" of "pens"
std::string singular(const std::string& things);

std::span<const std::string_view> new_problems();  // "Another one:", in a chat of several

std::span<const SmallTalk> small_talk();
// What it cannot do: a question begins with one of these and ends with one of those.
std::span<const std::string_view> foreign_questions();
std::span<const std::string_view> foreign_subjects();
std::span<const std::string_view> foreign_sentences();
std::span<const std::string_view> more_foreign_sentences();  // of wide wording

}  // namespace looplm

#endif  // LOOPLM_EVAL_WORD_PROBLEM_WORDS_H_

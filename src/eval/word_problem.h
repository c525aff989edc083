// Word problems: small chats whose answers take a known number of steps, said in plain English.
//
//   Ann has 3 boxes with 4 pens each and gives 5 pens away. How many pens are left?
//   There are 7 pens left.
//
// No number is ever above kLargestNumber or below 0, on the way to the answer either. `steps`
// counts the operations that the answer depends on. Nothing but the answer is written, so a model
// must take the steps in its hidden state.
#ifndef LOOPLM_EVAL_WORD_PROBLEM_H_
#define LOOPLM_EVAL_WORD_PROBLEM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/named.h"

namespace looplm {

enum class WordProblemKind {
  kSum,     // What is 3 + 4 - 5?
  kChain,   // Start with 3, add 4, double it. What do you get?
  kStory,   // people, things, distractors, comparisons; several questions about one story
  kTalk,    // about the model itself, and what it cannot do
  kMixed,   // chats that change their subject, with turns of any of these kinds
  kLookup,  // prose alone: "Ann has 5, Tom has 7. Tom has 7. Ann has 5", to learn whose is whose
};
inline constexpr NameTable<WordProblemKind, 6> kWordProblemKindNames = {
    {{WordProblemKind::kSum, "sum"},
     {WordProblemKind::kChain, "chain"},
     {WordProblemKind::kStory, "story"},
     {WordProblemKind::kTalk, "talk"},
     {WordProblemKind::kMixed, "mixed"},
     {WordProblemKind::kLookup, "lookup"}}};

enum class WordProblemForm {
  kChat,  // questions, and answers in sentences
  // Prose for pre-training, of whose words only the numbers are learnt: a question's `answer` is
  // the number alone. It tells from time to time what it has come to, so that most numbers are a
  // few steps away from the one before.
  kProse,
};
inline constexpr NameTable<WordProblemForm, 2> kWordProblemFormNames = {
    {{WordProblemForm::kChat, "chat"}, {WordProblemForm::kProse, "prose"}}};

enum class WordProblemWording {
  kPlain,  // names and "She buys 4 more"
  kFree,   // also "A farmer had 8 cows and 3 ran away. How many remain?", "I have", "There are",
           // "If"; of lookups: sentences and questions beside lists
  kWide,   // also what people type: "How many does she have left?", "Eva has 6 fewer", "3 red pens
           // and 4 blue pens", equal counts, "3+4", "hi", more names and things
};
inline constexpr NameTable<WordProblemWording, 3> kWordProblemWordingNames = {
    {{WordProblemWording::kPlain, "plain"},
     {WordProblemWording::kFree, "free"},
     {WordProblemWording::kWide, "wide"}}};

// Held out is a sixteenth of the combinations of operations and numbers, by their hash; in stories
// also names that training never sees. Small talk has no split.
enum class WordProblemSplit { kTrain, kHeldOut };
inline constexpr NameTable<WordProblemSplit, 2> kWordProblemSplitNames = {
    {{WordProblemSplit::kTrain, "train"}, {WordProblemSplit::kHeldOut, "held-out"}}};

struct WordProblemOptions {
  static constexpr int kLargestNumber = 20;
  static constexpr int kMostSteps = 8;
  static constexpr int kMostStepsOfProse = 24;

  WordProblemKind kind = WordProblemKind::kStory;
  WordProblemForm form = WordProblemForm::kChat;
  int min_steps = 1;  // of the first question, drawn uniformly from min_steps .. max_steps
  int max_steps = kMostSteps;
  // Of stories: questions about one story, 1 .. 8; a later one may go on telling. Of mixed chats:
  // all questions, one to three of them about one story.
  int turns = 1;
  int tell_every = 3;      // one later question in so many goes on telling first, 1 .. 8
  int before = 3;          // questions look back behind the last so many events, 0 .. 8
  int people = 0;          // of stories: 1 or 2; 0: two in five are about two, lookups about 2 .. 4
  int stories = 1;         // of mixed chats: so many stories for each sum, 1 .. 8
  int names = 0;           // of training: the first 8 .. 100 of the list alone; 0: all
  int things = 0;          // of stories: the first 2 .. 14 of each list alone; 0: all
  int equal = 0;           // stories of two people: one in 1 .. 8 begins with equal numbers; 0: few
  int made_up = 0;         // one name in 1 .. 8 is made up; 0: none
  int made_up_things = 0;  // one kind of things in 1 .. 8 is made up; 0: none
  // Of prose: one step in so many is followed by a count, 0 .. 8; 0: the last one alone.
  int count_every = 2;
  int ask_every = 0;  // of stories in prose: one count in 1 .. 8 answers a question; 0: none
  WordProblemWording wording = WordProblemWording::kPlain;  // wide: of all kinds
  WordProblemSplit split = WordProblemSplit::kTrain;
  uint64_t seed = 1;
};

// Fails when a range is empty or leaves its bounds.
Status check(const WordProblemOptions& options);

struct WordProblemTurn {
  std::string question;
  std::string answer;         // a sentence
  std::string opening;        // the answer up to its number, without the space before it
  std::optional<int> number;  // the answer's
  int steps = 0;              // operations that it depends on, from the beginning of the chat
};

struct WordProblem {
  std::vector<WordProblemTurn> turns;
  std::string combination;  // operations and numbers without words; what the split looks at
};

// The problem with this index: a pure function of the options and the index.
WordProblem word_problem(const WordProblemOptions& options, uint64_t index);

WordProblemSplit word_problem_split(const std::string& combination);

}  // namespace looplm

#endif  // LOOPLM_EVAL_WORD_PROBLEM_H_

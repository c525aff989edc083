// A story of one or two people as it is told, of which questions can be asked at any time.
#ifndef LOOPLM_EVAL_TOLD_STORY_H_
#define LOOPLM_EVAL_TOLD_STORY_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/rng.h"
#include "eval/word_problem.h"
#include "eval/word_problem_names.h"
#include "eval/word_problem_words.h"

namespace looplm {

struct StoryQuestion {
  WordProblemTurn turn;
  int weight = 1;
};

class ToldStory {
 public:
  ToldStory(const WordProblemOptions& options, Rng& rng);

  void begin(bool two_people);

  // One thing that happens, or a distractor.
  void go_on();

  std::string take_text();
  const std::string& combination() const { return combination_; }

  // What can be asked now, and how often it should be.
  std::vector<StoryQuestion> questions() const;

  // "Ann buys 4 more. How many pens does Ann have left? Now Ann has", and the number.
  WordProblemTurn ask();

  // "Ann buys 4 more. Now Ann has", and the number; what goes on comes behind " pens.".
  WordProblemTurn count(size_t p);

 private:
  // A count, and the operations it came from, a bit each.
  struct Count {
    int value = 0;
    uint64_t operations = 0;
  };
  struct Moment {
    Count count;
    std::string past;  // "lost 3"
  };
  enum class Kind { kNamed, kRole, kI, kPlace };  // "Ann", "A farmer", "I", "There are"
  struct Person {
    PersonName name;
    Kind kind = Kind::kNamed;
    bool told = false;    // a farmer that was told of is the farmer
    bool as_she = false;  // told of by a pronoun
    Count count;
    Count first;
    std::vector<Moment> before;
    bool lost_last = false;
  };

  // "How many does she have left?", "How many pens does Ann have in all?"
  template <typename Ask>
  void ask_as_typed(size_t p, const Ask& ask) const;

  // What prose goes on with behind the last number.
  std::string untold() {
    const std::string told = take_text();
    return after_count_ + (told.empty() ? "" : ' ' + told);
  }

  bool chance(uint32_t of) { return rng_.below(of) == 0; }
  int number(int least, int most) {
    return least + static_cast<int>(rng_.below(static_cast<uint32_t>(most - least + 1)));
  }
  template <typename T>
  T often_first(std::span<const T> list) {
    const float u = rng_.uniform();
    return list[static_cast<size_t>(u * u * static_cast<float>(list.size()))];
  }
  template <typename T>
  T any(std::span<const T> list) {
    return list[rng_.below(static_cast<uint32_t>(list.size()))];
  }

  // Of a sentence, or where it stands behind other words.
  std::string subject(size_t p, bool begins);
  std::string name(size_t p) const {
    const Person& person = people_[p];
    return (person.kind == Kind::kRole ? "the " : "") + person.name.name;
  }
  std::string_view pronoun(size_t p) const {
    return people_[p].kind == Kind::kI ? "I" : people_[p].name.she ? "she" : "he";
  }
  std::string_view object(size_t p) const {
    return people_[p].kind == Kind::kI ? "me" : people_[p].name.she ? "her" : "him";
  }
  // "gives Tom 3", "more than me"
  std::string other(size_t p) const {
    return people_[p].kind == Kind::kI ? std::string("me") : name(p);
  }
  std::string_view possessive(size_t p) const {
    return people_[p].kind == Kind::kI ? "my" : people_[p].name.she ? "her" : "his";
  }
  // What an answer and a count begin with.
  std::string now_has(size_t p) const;

  // "buys 4" as this story tells it: "bought 4", "buy 4".
  std::string tell(size_t p, const std::string& predicate) const;
  static std::string thing(int count, const std::string& things) {
    return count == 1 ? singular(things) : things;
  }
  std::string counted(int count) const {
    return fmt::format("{} {}", count, thing(count, things_));
  }

  // "4 more", "4 pens"
  std::string amount(int count, bool more);

  uint64_t operation() { return uint64_t{1} << operations_++; }

  // "She buys 4 more", as a sentence or behind the one before.
  void say(size_t p, const std::string& predicate);
  void say_sentence(const std::string& sentence);
  void say_idle() { say_sentence(std::string(any(idle_sentences()))); }
  void close_sentence() {
    if (clauses_ > 0) text_ += '.';
    clauses_ = 0;
  }

  void set(size_t p, int value, uint64_t operations) { people_[p].count = {value, operations}; }

  void note(size_t p, std::string past, bool lost) {
    people_[p].before.push_back({people_[p].count, std::move(past)});
    people_[p].lost_last = lost;
  }

  // "has 3 red pens and 4 blue pens", "has 3 boxes. Each box has 4 pens"
  void begin_in_parts(size_t p);

  void begin_person(size_t p);

  bool begin_compared(size_t p, size_t to);

  // "has as many pens as Ann"
  void begin_equal(size_t p, size_t to);

  void gain(size_t p);

  // "A friend", "My mother"
  std::string giver(size_t p);

  // "gives 2 eggs to her brother", who is not of the story
  void give_to_relative(size_t p, int by);

  void lose(size_t p);

  // Twice as many, or half.
  void scale(size_t p);

  // "3 more cows come", "and 2 of them run away".
  void things_happen(size_t p);

  // From p to the other.
  void transfer(size_t p);

  Rng& rng_;
  size_t look_back_;  // events behind which questions look
  Person people_[2];
  size_t known_ = 1;  // people whose number is told
  bool free_ = false;
  bool wide_ = false;
  bool in_parts_ = false;  // "3 red pens and 4 blue pens" began a number
  bool elliptic_ = false;  // "Eva has 6 fewer."
  int equal_;              // as the options say
  bool begins_equal_ = false;
  bool past_ = false;  // told in the past
  bool foods_ = false;
  bool animals_ = false;
  std::string things_, other_things_;
  bool name_things_ = false;  // other things were spoken of: the next amount says which are meant
  std::string text_;
  std::string after_count_;  // the end of a count's sentence
  std::string combination_;
  int clauses_ = 0;     // of the open sentence
  bool joins_ = false;  // the next clause, of another person, goes on with the open sentence
  std::optional<size_t> last_subject_;
  int operations_ = 0;
};

// One of them, by their weights.
WordProblemTurn choose(const std::vector<StoryQuestion>& questions, Rng& rng);

}  // namespace looplm

#endif  // LOOPLM_EVAL_TOLD_STORY_H_

#include "eval/word_problem_story.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <map>
#include <set>
#include <span>

#include <fmt/format.h>

#include "eval/word_problem_names.h"
#include "eval/word_problem_words.h"

namespace looplm {
namespace {

constexpr int kLargest = WordProblemOptions::kLargestNumber;

// A count, and the operations it came from, a bit each.
struct Count {
  int value = 0;
  uint64_t operations = 0;
};

struct Question {
  WordProblemTurn turn;
  int weight = 1;
};

class Story {
 public:
  Story(const WordProblemOptions& options, Rng& rng)
      : rng_(rng),
        look_back_(static_cast<size_t>(options.before)),
        free_(options.wording == WordProblemWording::kFree) {
    const bool food = rng_.below(4) == 0;
    foods_ = food;
    const auto list = [&](std::span<const std::string_view> all) {
      const auto first = static_cast<size_t>(options.things);
      return first > 0 ? all.first(std::min(first, all.size())) : all;
    };
    things_ = std::string(often_first(list(food ? problem_foods() : problem_things())));
    if (free_ && chance(4)) {
      foods_ = false;
      animals_ = true;
      things_ = std::string(any(list(problem_animals())));
    }
    past_ = free_ && chance(3);
    if (options.made_up_things > 0 && chance(static_cast<uint32_t>(options.made_up_things))) {
      things_ = made_up_things(rng_);
    }
    do {
      other_things_ = std::string(often_first(problem_things()));
    } while (other_things_ == things_);
    people_[0].name = draw_name(options, rng_);
    do {
      people_[1].name = draw_name(options, rng_);
    } while (people_[1].name.name == people_[0].name.name);
  }

  void begin(bool two_people) {
    if (free_ && !two_people) {
      const uint32_t who = rng_.below(6);
      if (who == 0) people_[0].kind = Kind::kPlace;
      if (who == 1) people_[0].kind = Kind::kI;
    }
    if (free_ && two_people && chance(4)) people_[rng_.below(2)].kind = Kind::kI;
    for (Person& person : people_) {
      if (!free_ || person.kind != Kind::kNamed || !chance(5)) continue;
      do {
        person.name = name_of(any(problem_roles()));
      } while (people_[0].name.name == people_[1].name.name);
      person.kind = Kind::kRole;
    }
    begin_person(0);
    if (!two_people) return;
    joins_ = free_ && chance(3);  // "Ann has 4 pens and Tom has 3."
    const bool joined = joins_;
    if (!joined) close_sentence();
    last_subject_.reset();
    const size_t first = text_.size();
    const bool compared = !chance(3) && begin_compared(1, 0);
    if (!compared) begin_person(1);
    known_ = 2;
    const auto named = [](const Person& person) { return person.kind == Kind::kNamed; };
    if (free_ && compared && !joined && std::ranges::all_of(people_, named) && chance(4)) {
      close_sentence();  // "Tom has 3 more pens than Ann. Ann has 4 pens."
      text_ = text_.substr(first + 1) + ' ' + text_.substr(0, first);
      last_subject_.reset();
    }
  }

  // One thing that happens, or a distractor.
  void go_on() {
    const uint32_t what = rng_.below(20);
    const size_t p = known_ == 2 ? rng_.below(2) : 0;
    if (what == 0) {
      say_idle();
    } else if (people_[p].kind == Kind::kPlace || (free_ && known_ == 1 && chance(5))) {
      things_happen(p);
    } else if (what == 1 && known_ == 1) {
      say(p, fmt::format("{} {} {}", chance(2) ? "also has" : "has", 2 + rng_.below(8),
                         other_things_));
      name_things_ = true;
    } else if (what < 5 && known_ == 2) {
      transfer(p);
    } else if (what < 7) {
      scale(p);
    } else if (what < 13) {
      gain(p);
    } else {
      lose(p);
    }
  }

  std::string take_text() {
    close_sentence();
    last_subject_.reset();
    return std::exchange(text_, {});
  }
  const std::string& combination() const { return combination_; }

  std::vector<Question> questions() const;

  // "Ann buys 4 more. How many pens does Ann have left? Now Ann has", and the number.
  WordProblemTurn ask();

  // "Ann buys 4 more. Now Ann has", and the number; what goes on comes behind " pens.".
  WordProblemTurn count(size_t p) {
    WordProblemTurn turn;
    const int value = people_[p].count.value;
    turn.opening = now_has(p);
    turn.question = untold() + ' ' + turn.opening;
    turn.number = value;
    turn.steps = std::popcount(people_[p].count.operations);
    turn.answer = fmt::format(" {}", value);
    after_count_ = ' ' + thing(value, things_) + '.';
    return turn;
  }

 private:
  struct Moment {
    Count count;
    std::string past;  // "lost 3"
  };
  enum class Kind { kNamed, kRole, kI, kPlace };  // "Ann", "A farmer", "I", "There are"
  struct Person {
    PersonName name;
    Kind kind = Kind::kNamed;
    bool told = false;  // a farmer that was told of is the farmer
    Count count;
    Count first;
    std::vector<Moment> before;
    bool lost_last = false;
  };

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
  std::string subject(size_t p, bool begins) {
    Person& person = people_[p];
    if (person.kind == Kind::kI) return "I";
    if (person.kind == Kind::kNamed) return person.name.name;
    const bool told = std::exchange(person.told, true);
    const std::string_view article = told ? (begins ? "The" : "the") : begins ? "A" : "a";
    return fmt::format("{} {}", article, person.name.name);
  }
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
  std::string now_has(size_t p) const {
    if (people_[p].kind == Kind::kI) return "Now you have";
    if (people_[p].kind == Kind::kPlace) {
      return people_[p].count.value == 1 ? "Now there is" : "Now there are";
    }
    return fmt::format("Now {} has", name(p));
  }

  // "buys 4" as this story tells it: "bought 4", "buy 4".
  std::string tell(size_t p, const std::string& predicate) const {
    if (!past_ && people_[p].kind != Kind::kI) return predicate;
    const size_t at = predicate.starts_with("also ") ? 5 : 0;
    const size_t end = predicate.find(' ', at);
    const std::string_view verb = std::string_view(predicate).substr(at, end - at);
    for (const ProblemVerb& form : problem_verb_forms()) {
      if (verb != form.present) continue;
      return predicate.substr(0, at) + std::string(past_ ? form.past : form.base) +
             predicate.substr(end);
    }
    return predicate;
  }
  static std::string thing(int count, const std::string& things) {
    return count == 1 ? things.substr(0, things.size() - 1) : things;
  }
  std::string counted(int count) const {
    return fmt::format("{} {}", count, thing(count, things_));
  }

  // "4 more", "4 pens"
  std::string amount(int count, bool more) {
    const bool name_them = name_things_ || chance(2);
    name_things_ = false;
    if (free_ && more && count > 1 && chance(6)) return fmt::format("another {}", counted(count));
    if (!name_them) return more ? fmt::format("{} more", count) : std::to_string(count);
    if (more && chance(2)) return fmt::format("{} more {}", count, thing(count, things_));
    return counted(count);
  }

  uint64_t operation() { return uint64_t{1} << operations_++; }

  // "She buys 4 more", as a sentence or behind the one before.
  void say(size_t p, const std::string& predicate) {
    if (last_subject_ == p && clauses_ == 1 && chance(3)) {
      text_ += (chance(3) ? ", then " : " and ") + tell(p, predicate);
      ++clauses_;
      return;
    }
    if (std::exchange(joins_, false)) {
      text_ += fmt::format(" and {} {}", subject(p, false), tell(p, predicate));
      clauses_ = 2;
      last_subject_ = p;
      return;
    }
    close_sentence();
    if (!text_.empty()) text_ += ' ';
    const bool then = last_subject_.has_value() && chance(6);
    std::string who = subject(p, !then);
    if (last_subject_ == p && !chance(4) && people_[p].kind != Kind::kI) {
      who = people_[p].name.she ? (then ? "she" : "She") : (then ? "he" : "He");
    }
    text_ += (then ? "Then " : "") + who + ' ' + tell(p, predicate);
    clauses_ = 1;
    last_subject_ = p;
  }
  void say_sentence(const std::string& sentence) {
    close_sentence();
    if (!text_.empty()) text_ += ' ';
    text_ += sentence;
    last_subject_.reset();
  }
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

  void begin_person(size_t p) {
    if (people_[p].kind == Kind::kPlace) {
      const int count = number(1, 15);
      const std::string_view is = count == 1 ? (past_ ? "was" : "is") : past_ ? "were" : "are";
      text_ += fmt::format("There {} {}", is, counted(count));
      if (!chance(3)) text_ += fmt::format(" {}", any(problem_places()));
      clauses_ = 1;
      set(p, count, 0);
      combination_ += fmt::format("{}={};", p, count);
    } else if (chance(4)) {
      const int boxes = number(2, 6);
      const int each = number(2, std::min(9, kLargest / boxes));
      const std::string_view in = any(animals_ ? animal_places()
                                      : free_  ? free_containers()
                                               : problem_containers());
      say(p, chance(2) ? fmt::format("has {} {} with {} {} each", boxes, in, each, things_)
                       : fmt::format("has {} {} of {} {}", boxes, in, each, things_));
      set(p, boxes * each, operation());
      combination_ += fmt::format("{}={}x{};", p, boxes, each);
    } else {
      const int count = number(1, 12);
      const std::string_view has = any(std::span<const std::string_view>(kHas));
      const bool same_things = free_ && p == 1 && chance(3);  // "Ann has 4 pens. Tom has 3."
      say(p, fmt::format("{} {}", has, same_things ? std::to_string(count) : counted(count)));
      set(p, count, 0);
      combination_ += fmt::format("{}={};", p, count);
    }
    people_[p].first = people_[p].count;
  }

  bool begin_compared(size_t p, size_t to) {
    const Count base = people_[to].count;
    const int by = number(1, 9);
    std::string says;
    int value = 0;
    switch (rng_.below(4)) {
      case 0:
        says = fmt::format("has {} more {} than {}", by, thing(by, things_), other(to));
        value = base.value + by;
        break;
      case 1:
        says = fmt::format("has {} fewer {} than {}", by, thing(by, things_), other(to));
        value = base.value - by;
        break;
      case 2:
        says = fmt::format("has twice as many {} as {}", things_, other(to));
        value = 2 * base.value;
        break;
      default:
        if (base.value % 2 != 0) return false;
        says = fmt::format("has half as many {} as {}", things_, other(to));
        value = base.value / 2;
        break;
    }
    if (value < 0 || value > kLargest) return false;
    say(p, says);
    set(p, value, base.operations | operation());
    people_[p].first = people_[p].count;
    combination_ += says.substr(0, 8) + std::to_string(value) + ';';
    return true;
  }

  void gain(size_t p) {
    const int room = kLargest - people_[p].count.value;
    if (room < 1) return lose(p);
    const int by = number(1, std::min(9, room));
    const ProblemVerb verb = any(free_ ? free_gaining_verbs() : gaining_verbs());
    if (chance(5)) {
      const std::string_view gives = past_ ? "gave " : "gives ";
      say_sentence(fmt::format("{} {}{} {}.", giver(p), gives, object(p), amount(by, true)));
      // "her" is whoever was spoken of last; with two people it must be a name.
      if (known_ == 2) {
        text_.resize(text_.rfind(gives) + gives.size());
        text_ += fmt::format("{} {}.", other(p), amount(by, true));
      }
      note(p, {}, false);
    } else {
      say(p, fmt::format("{} {}", verb.present, amount(by, true)));
      note(p, fmt::format("{} {}", verb.past, by), false);
    }
    set(p, people_[p].count.value + by, people_[p].count.operations | operation());
    combination_ += fmt::format("{}+{};", p, by);
  }

  // "A friend", "My mother"
  std::string giver(size_t p) {
    if (!free_ || known_ == 2 || chance(2)) return "A friend";
    std::string whose(possessive(p));
    whose[0] = static_cast<char>(std::toupper(whose[0]));
    return fmt::format("{} {}", whose, any(problem_relatives()));
  }

  // "gives 2 eggs to her brother", who is not of the story
  void give_to_relative(size_t p, int by) {
    const std::string whom = fmt::format("{} {}", possessive(p), any(problem_relatives()));
    say(p, chance(2) ? fmt::format("gives {} {}", whom, amount(by, false))
                     : fmt::format("gives {} to {}", amount(by, false), whom));
    close_sentence();
    last_subject_.reset();  // "she" could be the sister
    note(p, {}, true);
  }

  void lose(size_t p) {
    const int value = people_[p].count.value;
    if (value < 1) return gain(p);
    const int by = number(1, std::min(9, value));
    const auto all = free_ ? free_losing_verbs() : losing_verbs();
    const ProblemVerb verb = any(all.first(animals_ ? 3 : all.size() - (foods_ ? 0 : 1)));
    if (free_ && chance(6)) {
      give_to_relative(p, by);
    } else {
      if (verb.present == "gives away" && chance(2)) {
        say(p, fmt::format("gives {} away", amount(by, false)));
      } else {
        say(p, fmt::format("{} {}", verb.present, amount(by, false)));
      }
      note(p, fmt::format("{} {}", verb.past, by), true);
    }
    set(p, value - by, people_[p].count.operations | operation());
    combination_ += fmt::format("{}-{};", p, by);
  }

  // Twice as many, or half.
  void scale(size_t p) {
    const Count count = people_[p].count;
    const bool half = chance(2);
    if (half ? count.value % 2 != 0 || count.value == 0
             : count.value * 2 > kLargest || count.value == 0) {
      return chance(2) ? gain(p) : lose(p);
    }
    const std::string_view whose = possessive(p);
    const std::string what = name_things_ || chance(2)
                                 ? fmt::format("half of {} {}", whose, things_)
                                 : std::string("half");
    if (!half) {
      say(p, fmt::format("doubles {} number of {}", whose, things_));
    } else {
      say(p, fmt::format("{} {}", any(losing_verbs().first(3)).present, what));
    }
    name_things_ = false;
    note(p, {}, half);
    set(p, half ? count.value / 2 : count.value * 2, count.operations | operation());
    combination_ += fmt::format("{}{};", p, half ? "/2" : "x2");
  }

  // "3 more cows come", "and 2 of them run away".
  void things_happen(size_t p) {
    const Count count = people_[p].count;
    const bool come = count.value < kLargest && (count.value == 0 || chance(3));
    const bool half = !come && count.value % 2 == 0 && chance(8);
    const int most = std::min(9, come ? kLargest - count.value : count.value);
    const int by = half ? count.value / 2 : number(1, most);
    std::string who = half && !name_things_ ? "half of them" : amount(by, come);
    if (!come && !half && chance(4)) who = fmt::format("{} of the {}", by, things_);
    const ProblemVerb verb = any(come ? coming_verbs(animals_) : leaving_verbs(animals_, foods_));
    std::string does(past_ ? verb.past : by == 1 ? verb.base : verb.present);
    if (by == 1 && does.starts_with("were ")) does.replace(0, 4, "was");
    if (clauses_ == 1 && chance(2)) {
      text_ += fmt::format("{}{} {}", chance(4) ? ", but " : " and ", who, does);
      ++clauses_;
    } else {
      const std::optional<size_t> last = last_subject_;
      who[0] = static_cast<char>(std::toupper(who[0]));
      say_sentence(fmt::format("{} {}.", who, does));
      last_subject_ = last;
    }
    note(p, {}, !come);
    set(p, come ? count.value + by : count.value - by, count.operations | operation());
    combination_ +=
        half ? fmt::format("{}/2;", p) : fmt::format("{}{}{};", p, come ? '+' : '-', by);
  }

  // From p to the other.
  void transfer(size_t p) {
    const size_t q = 1 - p;
    const int most = std::min({9, people_[p].count.value, kLargest - people_[q].count.value});
    if (most < 1) return;
    const int by = number(1, most);
    say(p, chance(2) ? fmt::format("gives {} {}", other(q), amount(by, false))
                     : fmt::format("gives {} to {}", amount(by, false), other(q)));
    close_sentence();
    last_subject_.reset();  // "she" could be either
    note(p, {}, true);
    note(q, {}, false);
    set(p, people_[p].count.value - by, people_[p].count.operations | operation());
    set(q, people_[q].count.value + by, people_[q].count.operations | operation());
    combination_ += fmt::format("{}>{};", p, by);
  }

  static constexpr std::string_view kHas[] = {"has", "has", "has", "starts with", "owns"};

  Rng& rng_;
  size_t look_back_;  // events behind which questions look
  Person people_[2];
  size_t known_ = 1;  // people whose number is told
  bool free_ = false;
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

int steps_of(uint64_t operations) { return std::popcount(operations); }

std::vector<Question> Story::questions() const {
  std::vector<Question> all;
  const auto ask = [&](int weight, std::string question, std::string opening, Count count,
                       const std::string& after, bool one_more_step = false) {
    WordProblemTurn turn;
    turn.question = std::move(question);
    turn.answer = fmt::format("{} {}{}.", opening, count.value, after);
    turn.opening = std::move(opening);
    turn.number = count.value;
    turn.steps = steps_of(count.operations) + (one_more_step ? 1 : 0);
    all.push_back({std::move(turn), weight});
  };
  for (size_t p = 0; p < known_; ++p) {
    const Person& person = people_[p];
    const std::string now_has = this->now_has(p);
    const bool place = person.kind == Kind::kPlace;
    const std::string does = place                     ? "are there"
                             : person.kind == Kind::kI ? "do I have"
                                                       : fmt::format("does {} have", name(p));
    const Count now = person.count;
    const std::string things = ' ' + thing(now.value, things_);
    ask(4, fmt::format("How many {} {} now?", things_, does), now_has, now, things);
    ask(3, fmt::format("How many {} {}?", things_, does), now_has, now, things);
    if (known_ == 1 && person.kind != Kind::kI) {
      ask(1,
          place ? "How many are there now?" : fmt::format("How many does {} have now?", pronoun(p)),
          now_has, now, things);
    }
    if (person.lost_last) {
      if (!place) {
        ask(2, fmt::format("How many {} {} left?", things_, does), now_has, now, things + " left");
      }
      if (known_ == 1) {
        const std::string there = now.value == 1 ? "There is" : "There are";
        ask(2, "How many are left?", there, now, things + " left");
        ask(2, fmt::format("How many {} are left?", things_), there, now, things + " left");
        if (free_) {
          ask(2, fmt::format("How many {} remain?", things_), there, now, things + " left");
          ask(1, "How many remain?", there, now, things + " left");
        }
      }
    }
    const int first = person.first.value;
    const std::string_view were = first == 1 ? "there was" : "there were";
    const std::string had = place                     ? std::string(were)
                            : person.kind == Kind::kI ? "you had"
                                                      : fmt::format("{} had", name(p));
    ask(1,
        place ? fmt::format("How many {} were there at first?", things_)
              : fmt::format("How many {} did {} have at first?", things_,
                            person.kind == Kind::kI ? "I" : name(p)),
        "At first, " + had, person.first, ' ' + thing(first, things_));
    // Long ago is not asked for, or most questions of long stories would be of this kind.
    const size_t old = person.before.size() - std::min(look_back_, person.before.size());
    for (const Moment& moment : std::span(person.before).subspan(old)) {
      const auto same = [&](const Moment& other) { return other.past == moment.past; };
      if (moment.past.empty() || std::ranges::count_if(person.before, same) > 1) continue;
      ask(1,
          fmt::format("How many {} did {} have before {} {}?", things_,
                      person.kind == Kind::kI ? "I" : name(p), pronoun(p), moment.past),
          "Before that, " + had, moment.count, ' ' + thing(moment.count.value, things_));
    }
  }
  if (known_ < 2) return all;
  const Count& a = people_[0].count;
  const Count& b = people_[1].count;
  const uint64_t both = a.operations | b.operations;
  // "I" comes last, and is "you" in answers.
  const auto is_i = [&](size_t p) { return people_[p].kind == Kind::kI; };
  const bool we = is_i(0) || is_i(1);
  const size_t last = is_i(0) ? 0 : 1;
  if (a.value + b.value <= kLargest) {
    const Count sum{a.value + b.value, both};
    const std::string things = ' ' + thing(sum.value, things_);
    const std::string opening = we ? "Together you have" : "Together they have";
    const std::string do_they_have = we ? "do we have" : "do they have";
    ask(3, fmt::format("How many {} together?", do_they_have), opening, sum, things, true);
    ask(3,
        fmt::format("How many {} do {} and {} have together?", things_, name(1 - last),
                    is_i(last) ? "I" : name(last)),
        opening, sum, things, true);
    for (const char* all_of_them : {"in all", "in total", "altogether"}) {
      if (!free_) break;
      ask(1, fmt::format("How many {} {} {}?", things_, do_they_have, all_of_them), opening, sum,
          things, true);
    }
  }
  if (a.value != b.value) {
    const size_t more = a.value > b.value ? 0 : 1;
    const size_t less = 1 - more;
    const Count gap{std::abs(a.value - b.value), both};
    const auto has_than = [&](size_t p) {
      const std::string who = is_i(p) ? "do I" : fmt::format("does {}", name(p));
      return fmt::format("{} have than {}", who, other(1 - p));
    };
    const auto than = [&](size_t p) { return is_i(p) ? "you" : name(p); };
    ask(4, fmt::format("How many more {} {}?", things_, has_than(more)), now_has(more), gap,
        fmt::format(" more {} than {}", thing(gap.value, things_), than(less)), true);
    ask(2, fmt::format("How many fewer {} {}?", things_, has_than(less)), now_has(less), gap,
        fmt::format(" fewer {} than {}", thing(gap.value, things_), than(more)), true);
    WordProblemTurn who;
    who.question = fmt::format("Who has more {}?", things_);
    who.answer = fmt::format("{} more.", now_has(more));
    who.steps = steps_of(both) + 1;
    all.push_back({who, 1});
  }
  return all;
}

WordProblemTurn choose(const std::vector<Question>& questions, Rng& rng) {
  uint32_t weights = 0;
  for (const Question& q : questions) weights += static_cast<uint32_t>(q.weight);
  auto at = static_cast<int>(rng.below(weights));
  for (const Question& q : questions) {
    at -= q.weight;
    if (at < 0) return q.turn;
  }
  return questions.back().turn;
}

WordProblemTurn Story::ask() {
  std::vector<Question> numbers = questions();
  std::erase_if(numbers, [](const Question& q) { return !q.turn.number; });
  WordProblemTurn turn = choose(numbers, rng_);
  const std::string number = fmt::format(" {}", *turn.number);
  turn.question = fmt::format("{} {} {}", untold(), turn.question, turn.opening);
  after_count_ = turn.answer.substr(turn.opening.size() + number.size());
  turn.answer = number;
  return turn;
}

// "If Ann has 4 pens and loses 1, how many pens does she have?", of a story in one sentence; and
// questions typed in haste.
void loosen(std::string& told, std::string& question, Rng& rng) {
  const auto chance = [&](uint32_t of) { return rng.below(of) == 0; };
  if (told.find('.') + 1 == told.size() && chance(3)) {
    told.back() = ',';
    question[0] = 'h';
    if (chance(2)) {
      if (told.starts_with("A ") || told.starts_with("There ")) told[0] |= 0x20;
      told = "If " + told;
    }
  } else if (chance(8)) {
    question[0] = static_cast<char>(std::tolower(question[0]));
  }
  if (chance(8)) question.pop_back();
}

bool draw_two_people(const WordProblemOptions& options, Rng& rng) {
  return options.people == 0 ? rng.below(5) < 2 : options.people == 2;
}

}  // namespace

std::optional<WordProblem> draw_story(const WordProblemOptions& options, int steps, Rng& rng) {
  Story story(options, rng);
  const bool two_people = draw_two_people(options, rng);
  story.begin(two_people);
  const int events = std::max(0, steps - 1 + static_cast<int>(rng.below(two_people ? 4 : 3)));
  for (int i = 0; i < events; ++i) story.go_on();
  std::vector<Question> fitting = story.questions();
  std::erase_if(fitting, [&](const Question& q) { return q.turn.steps != steps; });
  if (fitting.empty()) return std::nullopt;

  WordProblem problem;
  WordProblemTurn first = choose(fitting, rng);
  if (options.split == WordProblemSplit::kHeldOut && !first.number) return std::nullopt;
  std::set<std::string> asked = {first.question};
  std::string beginning = story.take_text();
  if (options.wording == WordProblemWording::kFree) loosen(beginning, first.question, rng);
  first.question = beginning + ' ' + first.question;
  problem.turns.push_back(std::move(first));
  while (static_cast<int>(problem.turns.size()) < options.turns) {
    std::string told;
    if (rng.below(static_cast<uint32_t>(options.tell_every)) == 0) {
      for (uint32_t i = 0; i <= rng.below(2); ++i) story.go_on();
      told = story.take_text() + ' ';
      if (told != " ") asked.clear();
    }
    std::vector<Question> more = story.questions();
    std::erase_if(more, [&](const Question& q) { return asked.contains(q.turn.question); });
    if (more.empty()) break;
    WordProblemTurn next = choose(more, rng);
    asked.insert(next.question);
    if (told.size() > 1) next.question = told + next.question;
    problem.turns.push_back(std::move(next));
  }
  problem.combination = story.combination();
  return problem;
}

bool counts_now(const WordProblemOptions& options, bool last, Rng& rng) {
  if (last || options.count_every == 0) return last;
  return rng.below(static_cast<uint32_t>(options.count_every)) == 0;
}

WordProblem draw_tale(const WordProblemOptions& options, int events, Rng& rng) {
  Story story(options, rng);
  const bool two_people = draw_two_people(options, rng);
  story.begin(two_people);
  WordProblem problem;
  // Of two people often both, so that a model learns whose number is whose.
  const auto count = [&](bool both) {
    if (options.ask_every > 0 && rng.below(static_cast<uint32_t>(options.ask_every)) == 0) {
      // Of two people one to three: a number costs less reading so.
      const uint32_t more = two_people ? rng.below(3) : 0;
      for (uint32_t i = 0; i <= more; ++i) problem.turns.push_back(story.ask());
      return;
    }
    const size_t p = two_people ? rng.below(2) : 0;
    problem.turns.push_back(story.count(p));
    if (two_people && both) problem.turns.push_back(story.count(1 - p));
  };
  if (two_people && options.count_every > 0) count(true);
  for (int i = 0; i < events; ++i) {
    story.go_on();
    if (counts_now(options, i + 1 == events, rng)) count(rng.below(2) == 0);
  }
  problem.combination = story.combination();
  return problem;
}

}  // namespace looplm

#include "eval/told_story.h"

#include <algorithm>
#include <bit>
#include <cctype>

namespace looplm {
namespace {

constexpr int kLargest = WordProblemOptions::kLargestNumber;
constexpr std::string_view kHas[] = {"has", "has", "has", "starts with", "owns"};

}  // namespace

ToldStory::ToldStory(const WordProblemOptions& options, Rng& rng)
    : rng_(rng),
      look_back_(static_cast<size_t>(options.before)),
      free_(options.wording != WordProblemWording::kPlain),
      wide_(options.wording == WordProblemWording::kWide),
      equal_(options.equal) {
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
  if (wide_ && options.things == 0 && chance(3)) {
    things_ = std::string(any(more_things(animals_, foods_)));
  }
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

void ToldStory::begin(bool two_people) {
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
  joins_ = free_ && chance(3) && !in_parts_;  // "Ann has 4 pens and Tom has 3."
  const bool joined = joins_;
  if (!joined) close_sentence();
  last_subject_.reset();
  const size_t first = text_.size();
  begins_equal_ = equal_ > 0 && chance(static_cast<uint32_t>(equal_));
  const bool compared = !begins_equal_ && !chance(3) && begin_compared(1, 0);
  if (begins_equal_) {
    begin_equal(1, 0);
  } else if (!compared) {
    begin_person(1);
  }
  known_ = 2;
  const auto named = [](const Person& person) { return person.kind == Kind::kNamed; };
  if (free_ && compared && !joined && !elliptic_ && std::ranges::all_of(people_, named) &&
      chance(4)) {
    close_sentence();  // "Tom has 3 more pens than Ann. Ann has 4 pens."
    text_ = text_.substr(first + 1) + ' ' + text_.substr(0, first);
    last_subject_.reset();
  }
}

void ToldStory::go_on() {
  const uint32_t what = rng_.below(20);
  const size_t p = known_ == 2 ? rng_.below(2) : 0;
  if (what == 0) {
    say_idle();
  } else if (people_[p].kind == Kind::kPlace || (free_ && known_ == 1 && chance(5))) {
    things_happen(p);
  } else if (what == 1 && known_ == 1) {
    say(p,
        fmt::format("{} {} {}", chance(2) ? "also has" : "has", 2 + rng_.below(8), other_things_));
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

std::string ToldStory::take_text() {
  close_sentence();
  last_subject_.reset();
  return std::exchange(text_, {});
}

WordProblemTurn ToldStory::count(size_t p) {
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

std::string ToldStory::subject(size_t p, bool begins) {
  Person& person = people_[p];
  if (person.kind == Kind::kI) return "I";
  if (person.kind == Kind::kNamed) return person.name.name;
  const bool told = std::exchange(person.told, true);
  const std::string_view article = told ? (begins ? "The" : "the") : begins ? "A" : "a";
  return fmt::format("{} {}", article, person.name.name);
}

std::string ToldStory::now_has(size_t p) const {
  if (people_[p].kind == Kind::kI) return "Now you have";
  if (people_[p].kind == Kind::kPlace) {
    return people_[p].count.value == 1 ? "Now there is" : "Now there are";
  }
  return fmt::format("Now {} has", name(p));
}

std::string ToldStory::tell(size_t p, const std::string& predicate) const {
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

std::string ToldStory::amount(int count, bool more) {
  const bool name_them = name_things_ || chance(2);
  name_things_ = false;
  if (free_ && more && count > 1 && chance(6)) return fmt::format("another {}", counted(count));
  if (!name_them) return more ? fmt::format("{} more", count) : std::to_string(count);
  if (more && chance(2)) return fmt::format("{} more {}", count, thing(count, things_));
  return counted(count);
}

void ToldStory::say(size_t p, const std::string& predicate) {
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
    people_[p].as_she = true;
  }
  text_ += (then ? "Then " : "") + who + ' ' + tell(p, predicate);
  clauses_ = 1;
  last_subject_ = p;
}

void ToldStory::say_sentence(const std::string& sentence) {
  close_sentence();
  if (!text_.empty()) text_ += ' ';
  text_ += sentence;
  last_subject_.reset();
}

void ToldStory::begin_in_parts(size_t p) {
  const bool place = people_[p].kind == Kind::kPlace;
  std::string says;
  int value = 0;
  if (chance(2)) {
    const int first = number(2, 9);
    const int second = number(2, 9);
    const std::string_view colour = any(problem_colours());
    std::string_view other = any(problem_colours());
    while (other == colour) other = any(problem_colours());
    says = fmt::format("{} {} {} and {} {} {}", first, colour, things_, second, other, things_);
    value = first + second;
    combination_ += fmt::format("{}={}&{};", p, first, second);
  } else {
    const int boxes = number(2, 6);
    const int each = number(2, std::min(9, kLargest / boxes));
    const auto list = animals_ ? animal_places() : free_containers();
    const std::string in(any(list));
    says = place ? fmt::format("{} {} with {} {} each", boxes, in, each, things_)
                 : fmt::format("{} {}. Each {} {} {} {}", boxes, in, singular(in),
                               past_ ? "had" : "has", each, things_);
    value = boxes * each;
    combination_ += fmt::format("{}={}x{};", p, boxes, each);
  }
  if (place) {
    text_ += (past_ ? "There were " : "There are ") + says;
  } else {
    say(p, "has " + says);
  }
  clauses_ = 2;  // nothing goes on with this sentence
  in_parts_ = true;
  set(p, value, operation());
}

void ToldStory::begin_person(size_t p) {
  if (wide_ && chance(6)) {
    begin_in_parts(p);
  } else if (people_[p].kind == Kind::kPlace) {
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

bool ToldStory::begin_compared(size_t p, size_t to) {
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
  combination_ += says.substr(0, 8) + std::to_string(value) + ';';
  if (wide_) {  // "has 3 more than Ann", "has 3 fewer pens", "has 3 less"
    const size_t things = says.find(' ' + thing(by, things_) + " than");
    if (things != std::string::npos) {
      if (chance(2)) says.erase(things, thing(by, things_).size() + 1);
      const size_t fewer = says.find("fewer");
      if (fewer != std::string::npos && chance(3)) says.replace(fewer, 5, "less");
    }
    elliptic_ = chance(3);
    if (elliptic_) says.resize(std::min(says.find(" than "), says.find(" as " + other(to))));
  }
  say(p, says);
  set(p, value, base.operations | operation());
  people_[p].first = people_[p].count;
  return true;
}

void ToldStory::begin_equal(size_t p, size_t to) {
  const Count base = people_[to].count;
  const uint32_t how = rng_.below(3);
  if (how == 0) {
    say(p, "has " + counted(base.value));
  } else {
    const std::string_view as_many = how == 1 ? "as many" : "the same number of";
    say(p, fmt::format("has {} {} as {}", as_many, things_, other(to)));
  }
  set(p, base.value, how == 0 ? 0 : base.operations);
  people_[p].first = people_[p].count;
  combination_ += fmt::format("{}=={};", p, base.value);
}

void ToldStory::gain(size_t p) {
  const int room = kLargest - people_[p].count.value;
  if (room < 1) return lose(p);
  const int by = number(1, std::min(9, room));
  ProblemVerb verb = any(free_ ? free_gaining_verbs() : gaining_verbs());
  if (wide_ && chance(4)) verb = any(wide_gaining_verbs());
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

std::string ToldStory::giver(size_t p) {
  if (!free_ || known_ == 2 || chance(2)) return "A friend";
  std::string whose(possessive(p));
  whose[0] = static_cast<char>(std::toupper(whose[0]));
  return fmt::format("{} {}", whose, any(problem_relatives()));
}

void ToldStory::give_to_relative(size_t p, int by) {
  const std::string whom = fmt::format("{} {}", possessive(p), any(problem_relatives()));
  say(p, chance(2) ? fmt::format("gives {} {}", whom, amount(by, false))
                   : fmt::format("gives {} to {}", amount(by, false), whom));
  close_sentence();
  last_subject_.reset();  // "she" could be the sister
  note(p, {}, true);
}

void ToldStory::lose(size_t p) {
  const int value = people_[p].count.value;
  if (value < 1) return gain(p);
  const int by = number(1, std::min(9, value));
  const auto all = free_ ? free_losing_verbs() : losing_verbs();
  ProblemVerb verb = any(all.first(animals_ ? 3 : all.size() - (foods_ ? 0 : 1)));
  if (wide_ && chance(4)) verb = any(wide_losing_verbs());
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

void ToldStory::scale(size_t p) {
  const Count count = people_[p].count;
  const bool half = chance(2);
  if (half ? count.value % 2 != 0 || count.value == 0
           : count.value * 2 > kLargest || count.value == 0) {
    return chance(2) ? gain(p) : lose(p);
  }
  const std::string_view whose = possessive(p);
  const std::string what = name_things_ || chance(2) ? fmt::format("half of {} {}", whose, things_)
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

void ToldStory::things_happen(size_t p) {
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
  combination_ += half ? fmt::format("{}/2;", p) : fmt::format("{}{}{};", p, come ? '+' : '-', by);
}

void ToldStory::transfer(size_t p) {
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

}  // namespace looplm

#include "eval/word_problem_lookup.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/shuffle.h"
#include "eval/word_problem_names.h"

namespace looplm {
namespace {

struct Owner {
  std::string name;
  int value = 0;
};

// In plain wording lists, "Ann 5, Tom 7. Tom 7", which is where a model begins to learn it. In free
// wording every way of telling meets every way of asking, or it learns a pair of them alone.
class Lookup {
 public:
  Lookup(const WordProblemOptions& options, Rng& rng)
      : rng_(rng),
        lists_(options.wording == WordProblemWording::kPlain),
        telling_(lists_ ? 0 : rng.below(3)) {
    const bool made_up =
        options.made_up_things > 0 && chance(static_cast<uint32_t>(options.made_up_things));
    const auto things = problem_things();
    things_ = made_up ? made_up_things(rng)
                      : std::string(things[rng.below(static_cast<uint32_t>(things.size()))]);
    const size_t people = options.people == 2 ? 2 : 2 + rng.below(3);
    while (owners_.size() < people) {
      std::string name = draw_name(options, rng).name;
      const auto same = [&](const Owner& other) { return other.name == name; };
      if (std::ranges::none_of(owners_, same)) owners_.push_back({std::move(name), new_value()});
    }
  }

  WordProblem draw() {
    for (size_t p = 0; p < owners_.size(); ++p) tell(p, p + 1 == owners_.size());
    ask_all();
    if (chance(3)) {
      const size_t p = rng_.below(static_cast<uint32_t>(owners_.size()));
      owners_[p].value = new_value();
      tell(p, true);
      ask_all();
    }
    return std::move(problem_);
  }

 private:
  bool chance(uint32_t of) { return rng_.below(of) == 0; }

  // One that nobody has, so that it says whose it is.
  int new_value() {
    for (;;) {
      const auto value = static_cast<int>(rng_.below(WordProblemOptions::kLargestNumber + 1));
      const auto has = [&](const Owner& other) { return other.value == value; };
      if (std::ranges::none_of(owners_, has)) return value;
    }
  }
  std::string things(int value) const {
    return value == 1 ? things_.substr(0, things_.size() - 1) : things_;
  }

  // "Ann 5", "Ann has 5", "Ann has 5 pens"
  void tell(size_t p, bool last) {
    const auto& [name, value] = owners_[p];
    text_ += fmt::format(" {}{} {}", name, telling_ == 0 ? "" : " has", value);
    if (telling_ == 2) text_ += ' ' + things(value);
    text_ += last || chance(2) ? "." : ",";
    problem_.combination += fmt::format("{}:{};", p, value);
  }

  // Everyone twice, and what goes on behind the number.
  void ask_all() {
    std::vector<size_t> order;
    for (size_t p = 0; p < owners_.size(); ++p) order.insert(order.end(), {p, p});
    shuffle(order, rng_);
    for (const size_t p : order) {
      const auto& [name, value] = owners_[p];
      const uint32_t asking = lists_ ? 0 : rng_.below(4);
      if (asking == 0) text_ += ' ' + name;
      if (asking == 1) text_ += fmt::format(" {} has", name);
      if (asking == 2) text_ += fmt::format(" Now {} has", name);
      if (asking == 3) {
        text_ += fmt::format(" How many {} does {} have? Now {} has", things_, name, name);
      }
      WordProblemTurn turn;
      turn.question = std::exchange(text_, asking < 2 ? "." : ' ' + things(value) + '.');
      turn.answer = fmt::format(" {}", value);
      turn.number = value;
      problem_.turns.push_back(std::move(turn));
    }
  }

  Rng& rng_;
  bool lists_;
  uint32_t telling_;
  std::string things_;
  std::vector<Owner> owners_;
  std::string text_;
  WordProblem problem_;
};

}  // namespace

WordProblem draw_lookup(const WordProblemOptions& options, Rng& rng) {
  return Lookup(options, rng).draw();
}

}  // namespace looplm

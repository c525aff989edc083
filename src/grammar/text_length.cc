#include "grammar/text_length.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "grammar/pattern.h"
#include "text/utf8.h"

namespace looplm {
namespace {

using Kind = Expression::Kind;

// A state of the automaton reads all alternatives at once, so that more of them would be slow.
constexpr int64_t kMostPieces = 600;
constexpr int64_t kLongest = int64_t{1} << 40;  // what is longer counts as unbounded

struct Lengths {
  int64_t least = 0;
  int64_t most = 0;  // or kUnbounded

  bool fixed() const { return least == most; }
};

int64_t character_count(std::string_view utf8) {
  int64_t count = 0;
  for (; !utf8.empty(); ++count) utf8.remove_prefix(utf8_step(utf8).size);
  return count;
}

bool unbounded(int64_t most) { return most == kUnbounded; }
int64_t sum_of(int64_t a, int64_t b) {
  return unbounded(a) || unbounded(b) || a + b > kLongest ? kUnbounded : a + b;
}
int64_t less_of(int64_t a, int64_t b) {
  return unbounded(a) ? b : unbounded(b) ? a : std::min(a, b);
}
// What is left of `most` when so many are taken.
int64_t without(int64_t most, int64_t taken) { return unbounded(most) ? kUnbounded : most - taken; }

int64_t shortest(int64_t a, int64_t b, int64_t c) { return less_of(less_of(a, b), c); }

class LengthFitter {
 public:
  bool too_many() const { return pieces_ > kMostPieces; }
  int64_t pieces() const { return pieces_; }

  // Null: no text has such a length.
  ExpressionPtr fit(const ExpressionPtr& e, int64_t least, int64_t most) {
    if (++pieces_ > kMostPieces) return nullptr;
    const Lengths l = lengths(e);
    if (!unbounded(most) && l.least > most) return nullptr;
    if (!unbounded(l.most) && l.most < least) return nullptr;
    if (l.least >= least && (unbounded(most) || (!unbounded(l.most) && l.most <= most))) return e;
    switch (e->kind) {
      case Kind::kChoice: {
        std::vector<ExpressionPtr> choices;
        for (const ExpressionPtr& part : e->parts) add(choices, fit(part, least, most));
        return any_of(std::move(choices));
      }
      case Kind::kRepeat:
        return fit_repeat(*e, least, most);
      case Kind::kSequence: {
        const std::vector<ExpressionPtr> parts = grouped(e->parts);
        if (parts.size() > static_cast<size_t>(kMostPieces)) {
          pieces_ += kMostPieces;
          return nullptr;
        }
        return fit_pair(parts[0], sequence({parts.begin() + 1, parts.end()}), least, most);
      }
      case Kind::kOverlap: {
        const auto with = e->parts.begin() + e->least;
        std::vector<ExpressionPtr> all(e->parts.begin(), with);
        all.push_back(repeat(characters_but({}), least, most));
        return overlap(std::move(all), {with, e->parts.end()});
      }
      default:
        return nullptr;  // has one length, and that does not fit
    }
  }

  // Texts of `e` of at most so many characters, if not all; `e` has some. Parts that may grow share
  // what the length leaves them.
  ExpressionPtr narrow(const ExpressionPtr& e, int64_t most) {
    const Lengths l = lengths(e);
    if (!unbounded(l.most) && l.most <= most) return e;
    switch (e->kind) {
      case Kind::kChoice: {
        std::vector<ExpressionPtr> choices;
        for (const ExpressionPtr& part : e->parts) {
          if (lengths(part).least <= most) choices.push_back(narrow(part, most));
        }
        return choice(std::move(choices));
      }
      case Kind::kRepeat: {
        constexpr int64_t kUsual = 8;  // characters of a label in an address, with its point
        const Lengths one = lengths(e->parts[0]);
        const int64_t least = std::max<int64_t>(1, e->least);
        const int64_t usual =
            std::max(one.least, shortest(one.most, most / least, std::max(kUsual, most / 4)));
        if (usual == 0) return e;
        const int64_t times = std::max(e->least, less_of(e->most, most / usual));
        const int64_t each = less_of(one.most, most / std::max<int64_t>(1, times));
        return repeat(narrow(e->parts[0], each), e->least, times);
      }
      case Kind::kSequence:
        return narrow_sequence(*e, most);
      default: {
        std::vector<ExpressionPtr> all = {e, repeat(characters_but({}), 0, most)};
        return overlap(std::move(all), {});
      }
    }
  }

 private:
  ExpressionPtr narrow_sequence(const Expression& e, int64_t most) {
    int64_t room = most;
    std::vector<size_t> growing;
    for (size_t i = 0; i < e.parts.size(); ++i) {
      const Lengths l = lengths(e.parts[i]);
      room -= l.least;
      if (!l.fixed()) growing.push_back(i);
    }
    const auto wanted = [&](size_t i) {
      const Lengths l = lengths(e.parts[i]);
      return unbounded(l.most) ? kLongest : l.most - l.least;
    };
    std::ranges::sort(growing, {}, wanted);  // what needs little leaves more to the others
    std::vector<ExpressionPtr> parts = e.parts;
    for (size_t k = 0; k < growing.size(); ++k) {
      const size_t i = growing[k];
      const int64_t share = std::min(wanted(i), room / static_cast<int64_t>(growing.size() - k));
      parts[i] = narrow(e.parts[i], lengths(e.parts[i]).least + share);
      room -= share;
    }
    return sequence(std::move(parts));
  }

  // Neighbours of a fixed length as one, since each part makes a copy of what follows it.
  std::vector<ExpressionPtr> grouped(const std::vector<ExpressionPtr>& parts) {
    std::vector<ExpressionPtr> groups;
    std::vector<ExpressionPtr> fixed;
    const auto close = [&] {
      if (!fixed.empty()) groups.push_back(sequence(std::exchange(fixed, {})));
    };
    for (const ExpressionPtr& part : parts) {
      if (lengths(part).fixed()) {
        fixed.push_back(part);
        continue;
      }
      close();
      groups.push_back(part);
    }
    close();
    return groups;
  }

  Lengths lengths(const ExpressionPtr& e) {
    const auto known = lengths_.find(e.get());
    if (known != lengths_.end()) return known->second;
    Lengths l;
    switch (e->kind) {
      case Kind::kText:
        l.least = l.most = character_count(e->text);
        break;
      case Kind::kCharacters:
        l = {1, 1};
        break;
      case Kind::kSequence:
        for (const ExpressionPtr& part : e->parts) {
          const Lengths one = lengths(part);
          l = {std::min(kLongest, l.least + one.least), sum_of(l.most, one.most)};
        }
        break;
      case Kind::kChoice:
        for (size_t i = 0; i < e->parts.size(); ++i) {
          const Lengths one = lengths(e->parts[i]);
          const bool longer = unbounded(one.most) || (!unbounded(l.most) && one.most > l.most);
          l = i == 0 ? one : Lengths{std::min(l.least, one.least), longer ? one.most : l.most};
        }
        break;
      case Kind::kRepeat: {
        const Lengths one = lengths(e->parts[0]);
        const auto times = [](int64_t n, int64_t length) {
          return n == 0 || length == 0               ? 0
                 : unbounded(n) || unbounded(length) ? kUnbounded
                 : length > kLongest / n             ? kUnbounded
                                                     : n * length;
        };
        const int64_t least = times(e->least, one.least);
        l = {unbounded(least) ? kLongest : least, times(e->most, one.most)};
        break;
      }
      case Kind::kOverlap:
        l = {0, kUnbounded};
        for (int64_t i = 0; i < e->least; ++i) {
          const Lengths one = lengths(e->parts[static_cast<size_t>(i)]);
          l = {std::max(l.least, one.least), less_of(l.most, one.most)};
        }
        break;
      case Kind::kRule:
        LOOPLM_CHECK(false, "a rule has no length here");
    }
    lengths_[e.get()] = l;
    kept_.push_back(e);  // or another expression could come to lie at its address
    return l;
  }

  static void add(std::vector<ExpressionPtr>& choices, ExpressionPtr one) {
    if (one != nullptr) choices.push_back(std::move(one));
  }
  static ExpressionPtr any_of(std::vector<ExpressionPtr> choices) {
    return choices.empty() ? nullptr : choice(std::move(choices));
  }
  static ExpressionPtr both(ExpressionPtr a, ExpressionPtr b) {
    return a == nullptr || b == nullptr ? nullptr : sequence({std::move(a), std::move(b)});
  }

  ExpressionPtr fit_repeat(const Expression& e, int64_t least, int64_t most) {
    const ExpressionPtr& body = e.parts[0];
    const Lengths one = lengths(body);
    // A length of 0 would have fitted or not as a whole.
    if (one.fixed() && one.least > 0) {
      const int64_t low = std::max(e.least, (least + one.least - 1) / one.least);
      const int64_t high = less_of(e.most, unbounded(most) ? kUnbounded : most / one.least);
      return !unbounded(high) && high < low ? nullptr : repeat(body, low, high);
    }
    // The first, then the others; an empty one among them adds nothing to the text.
    std::vector<ExpressionPtr> choices;
    if (e.least == 0 && least == 0) choices.push_back(text(""));
    const ExpressionPtr filled = one.least == 0 ? fit(body, 1, kUnbounded) : body;
    if (filled == nullptr || e.most == 0) return any_of(std::move(choices));
    const int64_t still = one.least == 0 ? 0 : std::max<int64_t>(0, e.least - 1);
    add(choices, fit_pair(filled, repeat(filled, still, without(e.most, 1)), least, most));
    if (one.least == 0 && least == 0 && e.least > 0) choices.push_back(text(""));
    return any_of(std::move(choices));
  }

  ExpressionPtr fit_pair(const ExpressionPtr& head, const ExpressionPtr& tail, int64_t least,
                         int64_t most) {
    const Lengths h = lengths(head);
    const Lengths t = lengths(tail);
    if (!unbounded(most) && h.least + t.least > most) return nullptr;
    const auto rest = [least](int64_t taken) { return std::max<int64_t>(0, least - taken); };
    if (t.fixed()) return both(fit(head, rest(t.least), without(most, t.least)), tail);
    if (h.fixed()) return both(head, fit(tail, rest(h.least), without(most, h.least)));
    // Each length of the head; from `enough` on, any tail will do where there is no upper bound.
    std::vector<ExpressionPtr> choices;
    const int64_t enough = std::max(h.least, rest(t.least));
    const int64_t last =
        unbounded(most) ? less_of(h.most, enough - 1) : less_of(h.most, most - t.least);
    for (int64_t i = h.least; i <= last && !too_many(); ++i) {
      add(choices, both(fit(head, i, i), fit(tail, rest(i), without(most, i))));
    }
    if (unbounded(most)) add(choices, both(fit(head, enough, kUnbounded), tail));
    return any_of(std::move(choices));
  }

  int64_t pieces_ = 0;
  std::unordered_map<const Expression*, Lengths> lengths_;
  std::vector<ExpressionPtr> kept_;
};

}  // namespace

Result<ExpressionPtr> of_length(const ExpressionPtr& e, int64_t least, int64_t most,
                                OtherLengths others, const std::string& what, TextBudget& budget) {
  LengthFitter fitter;
  ExpressionPtr fitted = fitter.fit(e, least, most);
  budget.pieces -= fitter.pieces();
  if (budget.pieces < 0) {
    return unsupported(what + ": the schema has too many patterns and formats with lengths");
  }
  if (!fitter.too_many()) {
    if (fitted == nullptr) return invalid_argument(what + ": no text of that length matches");
    return fitted;
  }
  ExpressionPtr counted = overlap({e, repeat(characters_but({}), least, most)}, {}, what);
  if (others == OtherLengths::kAllStay || unbounded(most)) return counted;
  Grammar alone;
  alone.declare("length");
  alone.rules[0].expression = json_string_form(counted);  // as which it will stand in the grammar
  if (overlaps_as_rules(alone, budget.lengths).ok()) return counted;
  return of_length(LengthFitter().narrow(e, most), least, kUnbounded, OtherLengths::kAllStay, what,
                   budget);
}

}  // namespace looplm

#include "eval/math_answer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "eval/ascii.h"
#include "eval/math_parser.h"
#include "eval/math_value.h"

namespace looplm {
namespace {

using Kind = MathNode::Kind;

// Longer ones are compared as text.
constexpr size_t kMostCharacters = 2000;

bool is_symbol(const MathNode& x, std::string_view name) {
  return x.kind == Kind::kSymbol && x.text == name;
}

// 1 and -1; 0: finite.
int infinity(const MathNode& x) {
  if (is_symbol(x, "\\infty")) return 1;
  if (x.kind == Kind::kProduct && x.parts.size() == 2 && x.parts[0].text == "-1") {
    return -infinity(x.parts[1]);
  }
  return 0;
}

MathNode infinite(bool positive) {
  MathNode x = {Kind::kSymbol, "\\infty"};
  return positive ? x : MathNode{Kind::kProduct, "", {{Kind::kNumber, "-1"}, x}};
}

MathNode difference(const MathNode& a, const MathNode& b) {
  return {Kind::kSum, "", {a, {Kind::kProduct, "", {{Kind::kNumber, "-1"}, b}}}};
}

bool is_equation(const MathNode& x) {
  return x.kind == Kind::kRelation &&
         std::all_of(x.operators.begin(), x.operators.end(),
                     [](const auto& o) { return o == "=" || o == "~="; });
}

// What an equation's left side may be for its right side to be what is asked for: "x", "f(2)",
// "(x, y)", "\frac{a}{b}", or a value that both sides have.
bool is_name(const MathNode& x) {
  if (x.kind == Kind::kNumber || is_constant(x)) return x.kind != Kind::kNumber;
  if (x.kind == Kind::kSum) return false;
  if (x.kind != Kind::kProduct) return true;
  return x.parts[0].kind == Kind::kSymbol;
}

// x > 5, 5 < x and 1 < x <= 2 as what x lies in, x being a symbol.
std::optional<MathNode> interval_of(const MathNode& x) {
  if (x.kind != Kind::kRelation || x.parts.size() > 3) return std::nullopt;
  const bool falls = x.operators[0].starts_with('>');
  for (const std::string& o : x.operators) {
    if (o[0] != (falls ? '>' : '<')) return std::nullopt;
  }
  std::vector<MathNode> parts = x.parts;
  std::vector<std::string> operators = x.operators;
  if (falls) {
    std::reverse(parts.begin(), parts.end());
    std::reverse(operators.begin(), operators.end());
  }
  MathNode interval = {Kind::kBracket, "()"};
  const auto closed = [&](size_t o) { return operators[o].size() == 2; };
  if (parts.size() == 3 && parts[1].kind == Kind::kSymbol) {
    interval.text = {closed(0) ? '[' : '(', closed(1) ? ']' : ')'};
    interval.parts = {parts[0], parts[2]};
  } else if (parts.size() == 2 && parts[0].kind == Kind::kSymbol) {
    interval.text = {'(', closed(0) ? ']' : ')'};
    interval.parts = {infinite(false), parts[1]};
  } else if (parts.size() == 2 && parts[1].kind == Kind::kSymbol) {
    interval.text = {closed(0) ? '[' : '(', ')'};
    interval.parts = {parts[0], infinite(true)};
  } else {
    return std::nullopt;
  }
  return interval;
}

class Comparer {
 public:
  bool same(const MathNode& given, const MathNode& right) {
    if (const auto a = left_out(given), b = left_out(right); a && b) return same_elements(*a, *b);
    if (given.kind == Kind::kRelation || right.kind == Kind::kRelation) {
      return same_relations(given, right);
    }
    if (is_symbol(given, "\\emptyset")) return same(MathNode{Kind::kSet}, right);
    if (is_symbol(right, "\\emptyset")) return same(given, MathNode{Kind::kSet});
    if (is_symbol(given, "\\mathbb{R}") != is_symbol(right, "\\mathbb{R}")) {
      const MathNode all = {Kind::kBracket, "()", {infinite(false), infinite(true)}};
      return is_symbol(given, "\\mathbb{R}") ? same(all, right) : same(given, all);
    }
    if (given.kind == Kind::kText || right.kind == Kind::kText) return same_words(given, right);
    if (given.kind == Kind::kUnion || right.kind == Kind::kUnion) return same_unions(given, right);
    if (given.kind == Kind::kWithout || right.kind == Kind::kWithout) {
      return given.kind == right.kind && same_parts(given, right);
    }
    if (is_collection(given) || is_collection(right)) return same_collections(given, right);
    if (given.kind == Kind::kBracket || right.kind == Kind::kBracket) {
      return given.kind == right.kind && given.text == right.text && same_parts(given, right);
    }
    if (given.kind == Kind::kMatrix || right.kind == Kind::kMatrix) {
      return given.kind == right.kind && same_rows(given, right);
    }
    if (given.kind == Kind::kBased || right.kind == Kind::kBased) return same_based(given, right);
    if (given.kind == Kind::kSymbol && right.kind == Kind::kSymbol) {
      return same_words(given, right) || given.text == right.text;
    }
    if (infinity(given) != 0 || infinity(right) != 0) return infinity(given) == infinity(right);
    return same_values(given, right);
  }

 private:
  static bool same_words(const MathNode& a, const MathNode& b) {
    return !a.words.empty() && a.words == b.words;
  }

  static bool is_all_numbers(const MathNode& x) {
    return is_symbol(x, "\\mathbb{R}") || (x.kind == Kind::kBracket && x.parts.size() == 2 &&
                                           infinity(x.parts[0]) < 0 && infinity(x.parts[1]) > 0);
  }

  // The numbers that are left out where the others are all there: x \ne 2, \mathbb{R} without {2},
  // and (-\infty, 2) \cup (2, \infty).
  std::optional<std::vector<MathNode>> left_out(const MathNode& x) {
    if (x.kind == Kind::kRelation && x.operators.size() == 1 && x.operators[0] == "!=" &&
        x.parts[0].kind == Kind::kSymbol && is_constant(x.parts[1])) {
      return std::vector<MathNode>{x.parts[1]};
    }
    if (x.kind == Kind::kWithout && is_all_numbers(x.parts[0]) && is_collection(x.parts[1])) {
      return elements(x.parts[1]);
    }
    if (x.kind != Kind::kUnion) return std::nullopt;
    std::vector<MathNode> ends;
    MathNode begin = infinite(false);
    for (size_t i = 0; i < x.parts.size(); ++i) {
      const auto part = std::find_if(x.parts.begin(), x.parts.end(), [&](const MathNode& p) {
        return p.kind == Kind::kBracket && p.text == "()" && p.parts.size() == 2 &&
               same(p.parts[0], begin);
      });
      if (part == x.parts.end()) return std::nullopt;
      begin = part->parts[1];
      ends.push_back(begin);
    }
    if (infinity(begin) <= 0) return std::nullopt;
    ends.pop_back();
    return ends;
  }

  bool same_values(const MathNode& a, const MathNode& b) {
    if (same_value(a, b, budget_)) return true;
    // "50%" is 50, if it need be, and one half.
    if (a.kind == Kind::kPercent && same_value(a.parts[0], b, budget_)) return true;
    return b.kind == Kind::kPercent && same_value(a, b.parts[0], budget_);
  }

  bool same_parts(const MathNode& a, const MathNode& b) {
    return a.parts.size() == b.parts.size() &&
           std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(),
                      [&](const MathNode& x, const MathNode& y) { return same(x, y); });
  }

  bool same_rows(const MathNode& a, const MathNode& b) {
    return a.parts.size() == b.parts.size() &&
           std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(),
                      [&](const MathNode& x, const MathNode& y) { return same_parts(x, y); });
  }

  // In any order.
  bool same_elements(const std::vector<MathNode>& a, const std::vector<MathNode>& b) {
    if (a.size() != b.size()) return false;
    std::vector<bool> met(b.size());
    for (const MathNode& x : a) {
      size_t i = 0;
      while (i < b.size() && (met[i] || !same(x, b[i]))) ++i;
      if (i == b.size()) return false;
      met[i] = true;
    }
    return true;
  }

  static bool is_collection(const MathNode& x) {
    return x.kind == Kind::kList || x.kind == Kind::kSet;
  }

  // Each element once; anything else is a set of itself.
  std::vector<MathNode> elements(const MathNode& x) {
    if (!is_collection(x)) return {x};
    std::vector<MathNode> once;
    for (const MathNode& part : x.parts) {
      if (std::none_of(once.begin(), once.end(), [&](const auto& y) { return same(part, y); })) {
        once.push_back(part);
      }
    }
    return once;
  }

  bool same_collections(const MathNode& a, const MathNode& b) {
    // "1, 2" for (1, 2)
    for (const auto& [list, bracket] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      if (list->kind == Kind::kList && bracket->kind == Kind::kBracket) {
        return bracket->text == "()" && same_parts(*list, *bracket);
      }
    }
    return same_elements(elements(a), elements(b));
  }

  bool same_unions(const MathNode& a, const MathNode& b) {
    const auto members = [&](const MathNode& x) {
      MathNode all = {Kind::kSet};
      std::vector<MathNode> others;
      const std::vector<MathNode> whole = {x};
      for (const MathNode& part : x.kind == Kind::kUnion ? x.parts : whole) {
        if (is_collection(part)) {
          all.parts.insert(all.parts.end(), part.parts.begin(), part.parts.end());
        } else {
          others.push_back(part);
        }
      }
      std::vector<MathNode> result = elements(all);
      result.insert(result.end(), others.begin(), others.end());
      return result;
    };
    return same_elements(members(a), members(b));
  }

  // 22_5; the base may be left out.
  bool same_based(const MathNode& a, const MathNode& b) {
    if (a.kind == Kind::kBased && b.kind == Kind::kBased) {
      return a.text == b.text && same(a.parts[0], b.parts[0]);
    }
    return (a.kind == Kind::kNumber || b.kind == Kind::kNumber) && a.text == b.text;
  }

  bool same_relations(const MathNode& given, const MathNode& right) {
    if (given.kind == Kind::kRelation && right.kind == Kind::kRelation) {
      if (is_equation(given) != is_equation(right)) return false;
      return is_equation(right) ? same_equations(given, right) : same_inequalities(given, right);
    }
    const MathNode& relation = given.kind == Kind::kRelation ? given : right;
    const MathNode& other = given.kind == Kind::kRelation ? right : given;
    MathNode says;
    if (is_equation(relation)) {
      // Who writes out the whole equation has answered too.
      if (&relation == &right && !is_name(relation.parts[0])) return false;
      says = relation.parts.back();
      // "\frac{1}{3} \approx 0.33" says both.
      const bool about = relation.operators[0] == "~=" && is_constant(relation.parts[0]);
      if (about && same(relation.parts[0], other)) return true;
    } else if (auto interval = interval_of(relation)) {
      says = std::move(*interval);
    } else {
      return false;
    }
    return &relation == &given ? same(says, other) : same(other, says);
  }

  bool same_equations(const MathNode& a, const MathNode& b) {
    const MathNode &a_left = a.parts.front(), &a_right = a.parts.back();
    const MathNode &b_left = b.parts.front(), &b_right = b.parts.back();
    if (same(a_left, b_left) && same(a_right, b_right)) return true;
    return same_but_for_factor(difference(a_left, a_right), difference(b_left, b_right), false,
                               budget_);
  }

  // Link by link, each as something below something else.
  bool same_inequalities(const MathNode& a, const MathNode& b) {
    struct Link {
      std::string operation;
      MathNode above;  // how far
    };
    const auto links_of = [](const MathNode& x) {
      std::vector<Link> links;
      for (size_t i = 0; i < x.operators.size(); ++i) {
        const std::string& o = x.operators[i];
        const bool falls = o[0] == '>';
        links.push_back({falls ? "<" + o.substr(1) : o,
                         difference(x.parts[falls ? i : i + 1], x.parts[falls ? i + 1 : i])});
      }
      return links;
    };
    const std::vector<Link> of_a = links_of(a), of_b = links_of(b);
    if (of_a.size() != of_b.size()) return false;
    std::vector<bool> met(of_b.size());
    for (const Link& x : of_a) {
      const bool ordered = x.operation[0] == '<';
      size_t i = 0;
      while (i < of_b.size() && (met[i] || x.operation != of_b[i].operation ||
                                 !same_but_for_factor(x.above, of_b[i].above, ordered, budget_))) {
        ++i;
      }
      if (i == of_b.size()) return false;
      met[i] = true;
    }
    return true;
  }

  MathBudget budget_;
};

// Without spaces, but for those that part digits: "7 1/2".
std::string without_spaces(std::string_view text) {
  std::string result;
  bool space = false;
  for (const char c : text) {
    if (is_space(c)) {
      space = true;
      continue;
    }
    if (space && !result.empty() && is_digit(result.back()) && is_digit(c)) result += ' ';
    result += c;
    space = false;
  }
  return result;
}

}  // namespace

bool same_math(std::string_view given, std::string_view right) {
  if (without_spaces(given) == without_spaces(right)) return true;
  if (given.size() > kMostCharacters || right.size() > kMostCharacters) return false;
  // 1,234 is a number or two; the answers are the same if they are so in one reading.
  Comparer comparer;
  const auto readings = [](std::string_view text) {
    std::vector<MathNode> all = {parse_math(math_tokens(text, true))};
    if (text.find(',') != std::string_view::npos)
      all.push_back(parse_math(math_tokens(text, false)));
    return all;
  };
  const std::vector<MathNode> of_given = readings(given), of_right = readings(right);
  for (const MathNode& a : of_given) {
    for (const MathNode& b : of_right) {
      if (comparer.same(a, b)) return true;
    }
  }
  return false;
}

bool has_number(std::string_view text) {
  return text.size() <= kMostCharacters && parse_number(math_tokens(text, true)).has_value();
}

bool same_number(std::string_view given, std::string_view right) {
  if (given.size() > kMostCharacters) return false;
  const auto number = [](std::string_view text) {
    std::optional<MathNode> x = parse_number(math_tokens(text, true));
    if (x && x->kind == Kind::kPercent) return std::optional(MathNode(x->parts[0]));
    return x;
  };
  const std::optional<MathNode> a = number(given), b = number(right);
  MathBudget budget;
  return a && b && same_rounded_number(*a, *b, budget);
}

}  // namespace looplm

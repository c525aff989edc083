// For tests: whether grammars match whole texts.
#ifndef LOOPLM_GRAMMAR_TEST_MATCHER_H_
#define LOOPLM_GRAMMAR_TEST_MATCHER_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "grammar/automaton.h"
#include "grammar/json_schema.h"
#include "grammar/pattern.h"

namespace looplm {

// Whether a grammar matches texts as a whole.
class Matcher {
 public:
  explicit Matcher(const Grammar& grammar)
      : automaton_(std::make_shared<const GrammarProgram>(compile_grammar(grammar).value())) {}

  bool matches(std::string_view text) { return automaton_.accepts(after(text)); }
  bool begins(std::string_view text) { return after(text) != GrammarAutomaton::kDead; }

 private:
  GrammarAutomaton::StateId after(std::string_view text) {
    GrammarAutomaton::StateId state = automaton_.start();
    for (char c : text) state = automaton_.after(state, static_cast<uint8_t>(c));
    return state;
  }
  GrammarAutomaton automaton_;
};

inline Grammar grammar_of(ExpressionPtr expression) {
  Grammar g;
  g.declare("root");
  g.rules[0].expression = std::move(expression);
  return g;
}
inline Matcher search(const std::string& pattern) {
  return Matcher(grammar_of(parse_search_pattern(pattern, PatternText::kPlain).value()));
}
inline Matcher schema(const std::string& json) {
  return Matcher(json_schema_grammar(OrderedJson::parse(json)).value());
}
inline std::string schema_error(const std::string& json) {
  const Result<Grammar> grammar = json_schema_grammar(OrderedJson::parse(json));
  if (!grammar.ok()) return grammar.status().message();
  return compile_grammar(grammar.value()).status().message();
}

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_TEST_MATCHER_H_

#include "grammar/compiled_grammar.h"

#include "base/check.h"

namespace looplm {
namespace {

// Per grammar; beyond, what was found is dropped and found again.
constexpr size_t kMostBytes = size_t{128} << 20;
// Steps of the automaton for one mask, or for one token. The engine's thread does them, and
// everybody's tokens wait.
constexpr int64_t kMostWork = 1'000'000;

}  // namespace

Result<std::shared_ptr<CompiledGrammar>> CompiledGrammar::compile(
    const Grammar& grammar, std::shared_ptr<const VocabularyTrie> vocabulary) {
  LOOPLM_ASSIGN_OR_RETURN(GrammarProgram program, compile_grammar(grammar));
  return std::shared_ptr<CompiledGrammar>(new CompiledGrammar(
      std::make_shared<const GrammarProgram>(std::move(program)), std::move(vocabulary)));
}

CompiledGrammar::CompiledGrammar(std::shared_ptr<const GrammarProgram> program,
                                 std::shared_ptr<const VocabularyTrie> vocabulary)
    : program_(std::move(program)),
      vocabulary_(std::move(vocabulary)),
      findings_(std::make_shared<Findings>(program_)) {}

std::shared_ptr<const TokenMask> CompiledGrammar::mask_of(Findings& findings, StateId state) const {
  GrammarAutomaton& automaton = findings.automaton;
  const int64_t most_work = automaton.work() + kMostWork;
  const StateId from = automaton.canonical(state, vocabulary_->longest());
  if (const auto known = findings.masks.find(from); known != findings.masks.end()) {
    return known->second;
  }
  auto mask =
      std::make_shared<TokenMask>((static_cast<size_t>(vocabulary_->vocab_size()) + 31) / 32);
  const std::vector<VocabularyTrie::Node>& nodes = vocabulary_->nodes();
  std::vector<StateId> path(static_cast<size_t>(vocabulary_->longest()) + 1);
  path[0] = from;
  for (size_t i = 0; i < nodes.size();) {
    const VocabularyTrie::Node& node = nodes[i];
    const auto depth = static_cast<size_t>(node.depth);
    const StateId next = automaton.after(path[depth - 1], node.byte);
    if (next == GrammarAutomaton::kLost || automaton.work() > most_work) {
      findings.masks.emplace(from, nullptr);
      return nullptr;
    }
    if (next == GrammarAutomaton::kDead) {
      i = static_cast<size_t>(node.after);
      continue;
    }
    path[depth] = next;
    for (int32_t token : vocabulary_->tokens_of(i)) {
      (*mask)[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
    }
    ++i;
  }
  findings.mask_bytes += mask->size() * sizeof(uint32_t) + 64;
  findings.masks.emplace(from, mask);
  return mask;
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<CompiledGrammar> grammar)
    : grammar_(std::move(grammar)) {
  const std::lock_guard lock(grammar_->mutex_);
  past_.push_back({grammar_->findings_, grammar_->findings_->automaton.start()});
}

GrammarMatcher::Place& GrammarMatcher::here() {
  CompiledGrammar& g = *grammar_;
  g.memory_.store(g.findings_->automaton.memory() + g.findings_->mask_bytes,
                  std::memory_order_relaxed);
  if (g.memory() > kMostBytes) {
    g.findings_ = std::make_shared<CompiledGrammar::Findings>(g.program_);
  }
  Place& place = past_.back();
  if (place.findings != g.findings_) {
    const GrammarAutomaton::StateId moved =
        place.findings->automaton.moved_to(g.findings_->automaton, place.state);
    place = {g.findings_, moved};
  }
  return place;
}

std::shared_ptr<const TokenMask> GrammarMatcher::mask() {
  const std::lock_guard lock(grammar_->mutex_);
  Place& place = here();
  return grammar_->mask_of(*place.findings, place.state);
}

bool GrammarMatcher::accept(int32_t token) {
  const std::string_view bytes = grammar_->vocabulary_->bytes(token);
  if (bytes.empty()) return false;
  const std::lock_guard lock(grammar_->mutex_);
  const Place& place = here();
  GrammarAutomaton& automaton = place.findings->automaton;
  const int64_t most_work = automaton.work() + kMostWork;
  GrammarAutomaton::StateId state = place.state;
  for (char byte : bytes) {
    state = automaton.after(state, static_cast<uint8_t>(byte));
    if (automaton.work() > most_work) return false;
  }
  if (state == GrammarAutomaton::kDead || state == GrammarAutomaton::kLost) return false;
  past_.push_back({place.findings, state});
  return true;
}

void GrammarMatcher::forget(int64_t count) {
  LOOPLM_CHECK(count >= 0 && count <= accepted(), "{} of {} tokens", count, accepted());
  const std::lock_guard lock(grammar_->mutex_);  // the last of old findings may go here
  past_.resize(past_.size() - static_cast<size_t>(count), past_.front());
}

bool GrammarMatcher::may_end() {
  const std::lock_guard lock(grammar_->mutex_);
  const Place& place = here();
  return place.findings->automaton.accepts(place.state);
}

bool GrammarMatcher::must_end() {
  const std::lock_guard lock(grammar_->mutex_);
  const Place& place = here();
  return place.findings->automaton.ends(place.state);
}

}  // namespace looplm

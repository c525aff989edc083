// A grammar over a vocabulary: which tokens may come next, and where a text stands.
#ifndef LOOPLM_GRAMMAR_COMPILED_GRAMMAR_H_
#define LOOPLM_GRAMMAR_COMPILED_GRAMMAR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "looplm/status.h"

#include "grammar/automaton.h"
#include "grammar/expression.h"
#include "grammar/vocabulary_trie.h"

namespace looplm {

// Bit id % 32 of word id / 32 says whether a token is allowed.
using TokenMask = std::vector<uint32_t>;

// Shared by all requests with this grammar, on any thread: each uses what others have worked out.
class CompiledGrammar {
 public:
  static Result<std::shared_ptr<CompiledGrammar>> compile(
      const Grammar& grammar, std::shared_ptr<const VocabularyTrie> vocabulary);

  // Approximate bytes of what has been worked out.
  size_t memory() const { return memory_.load(std::memory_order_relaxed); }

 private:
  friend class GrammarMatcher;
  using StateId = GrammarAutomaton::StateId;

  // The automaton and the masks found so far. When they have grown too large, a new one begins;
  // texts that stand in the old one keep it until they have moved.
  struct Findings {
    explicit Findings(std::shared_ptr<const GrammarProgram> program)
        : automaton(std::move(program)) {}
    GrammarAutomaton automaton;
    std::unordered_map<StateId, std::shared_ptr<const TokenMask>> masks;  // of canonical states
    size_t mask_bytes = 0;
  };

  CompiledGrammar(std::shared_ptr<const GrammarProgram> program,
                  std::shared_ptr<const VocabularyTrie> vocabulary);

  std::shared_ptr<const TokenMask> mask_of(Findings& findings, StateId state) const;

  const std::shared_ptr<const GrammarProgram> program_;
  const std::shared_ptr<const VocabularyTrie> vocabulary_;
  std::mutex mutex_;
  std::shared_ptr<Findings> findings_;  // it and what it points to are guarded by mutex_
  std::atomic<size_t> memory_{0};       // of findings_; relaxed
};

// One text on its way through a grammar. Tokens can be taken back, as speculation does.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<CompiledGrammar> grammar);

  // The tokens that may come next. If may_end(), the caller adds the ends of text. Null if the text
  // can go on in so many ways that finding them would take more than some tenths of a second: the
  // grammar is too ambiguous. What was worked out before counts as no work, so a text near this
  // bound may be lost once and not again.
  std::shared_ptr<const TokenMask> mask();
  // False, and nothing changes, where the token is not allowed, or the way behind it is lost.
  bool accept(int32_t token);
  // Takes back the last `count` tokens that were accepted.
  void forget(int64_t count);

  bool may_end();   // the text may end here
  bool must_end();  // and nothing may follow
  int64_t accepted() const { return static_cast<int64_t>(past_.size()) - 1; }

 private:
  struct Place {
    std::shared_ptr<CompiledGrammar::Findings> findings;
    GrammarAutomaton::StateId state;
  };
  // Where the text stands in the current findings. Needs the grammar's lock.
  Place& here();

  std::shared_ptr<CompiledGrammar> grammar_;
  std::vector<Place> past_;  // after 0, 1, ... tokens
};

}  // namespace looplm

#endif  // LOOPLM_GRAMMAR_COMPILED_GRAMMAR_H_

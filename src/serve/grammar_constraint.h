// Grammars in requests: compiled once, kept for the requests that follow, and followed token by
// token.
#ifndef LOOPLM_SERVE_GRAMMAR_CONSTRAINT_H_
#define LOOPLM_SERVE_GRAMMAR_CONSTRAINT_H_

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "looplm/constraint.h"
#include "looplm/status.h"

#include "grammar/compiled_grammar.h"

namespace looplm {

class GrammarConstraint : public TokenConstraint {
 public:
  // Where the grammar may end, it also allows `end_ids`.
  GrammarConstraint(std::shared_ptr<CompiledGrammar> grammar, std::vector<int32_t> end_ids);

  void mask(std::span<uint32_t> allowed) override;
  void accept(int32_t token) override;
  void forget(int64_t count) override;
  bool finished() const override { return ended_at_ >= 0 || must_end_; }
  std::string why_none() const override;

 private:
  GrammarMatcher matcher_;
  std::vector<int32_t> end_ids_;
  int64_t accepted_ = 0;
  int64_t ended_at_ = -1;  // accepted_ when an end came
  int64_t lost_at_ = -1;   // accepted_ when the text could be read in too many ways
  bool must_end_ = false;
};

// The most recently used grammars. For any threads.
class GrammarCache {
 public:
  // Beyond `most_bytes`, evicts the least recently used.
  explicit GrammarCache(std::shared_ptr<const VocabularyTrie> vocabulary,
                        size_t most_bytes = size_t{256} << 20)
      : vocabulary_(std::move(vocabulary)), most_bytes_(most_bytes) {}

  // `key` is the grammar's text with its kind; `make` is called where it is not known.
  Result<std::shared_ptr<CompiledGrammar>> get(const std::string& key,
                                               const std::function<Result<Grammar>()>& make);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<CompiledGrammar> grammar;
  };
  void trim();  // with mutex_

  const std::shared_ptr<const VocabularyTrie> vocabulary_;
  const size_t most_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // guarded by mutex_; the most recent first
};

}  // namespace looplm

#endif  // LOOPLM_SERVE_GRAMMAR_CONSTRAINT_H_

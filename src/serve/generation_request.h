// What a client asks for, whatever the dialect: every API is translated into this.
#ifndef LOOPLM_SERVE_GENERATION_REQUEST_H_
#define LOOPLM_SERVE_GENERATION_REQUEST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "looplm/chat.h"
#include "looplm/constraint.h"
#include "looplm/generate.h"

#include "grammar/compiled_grammar.h"
#include "infer/tuned_depth.h"
#include "serve/fields.h"
#include "serve/grammar_constraint.h"

namespace looplm {

// The server's model and its defaults.
struct ServedModel {
  Model* model = nullptr;
  std::string name;
  std::string base{};                        // of an adapter: the name of the model it adapts
  int64_t created = 0;                       // seconds since 1970
  int64_t context = 0;                       // positions of prompt and answer together
  SpeculateOptions speculate{};              // for requests that do not say
  std::vector<int32_t> end_ids;              // that end a text
  std::shared_ptr<GrammarCache> grammars;    // null without a tokenizer
  std::shared_ptr<const ChatTemplate> chat;  // null without a tokenizer
  std::vector<TunedDepth> tuned{};           // what `looplm tune` found, the default first

  // Whether it takes turns. A model that has learnt none continues texts.
  bool converses() const { return chat != nullptr && chat->converses(); }
};

struct GenerationRequest {
  GenerateOptions options;  // max_tokens below 0: as many as fit
  int64_t choices = 1;      // of each prompt
  bool stream = false;
  bool stream_usage = false;
  bool stream_usage_so_far = false;  // with every event
  int64_t log_probabilities = -1;    // most likely tokens to list; below 0: none at all
  bool per_token = false;            // tell the loop, gate and words of every token
  bool provisional = false;          // stream proposals before they are final
  std::shared_ptr<CompiledGrammar> grammar{};
  // How that was made, for those who put it together with another.
  std::string grammar_key{};
  std::function<Result<Grammar>()> make_grammar{};
  // Makes the constraint of a choice; empty: the grammar's, if there is one.
  std::function<std::shared_ptr<TokenConstraint>()> make_constraint{};
  std::string tenant{};
  int64_t priority = 0;  // lower values go first, as in vLLM
  std::optional<double> timeout_seconds{};
};

// Reads the fields that all dialects share: sampling, stop, seed, n, stream, the `loop` object and
// the grammar. The log-probabilities and the limit of tokens are the dialects' own.
void read_generation_fields(Fields& fields, const ServedModel& served, GenerationRequest& request);

// Copies those of them for which other dialects have no word of their own, and those that are
// refused: a request means the same in every dialect.
void copy_extensions(const OrderedJson& from, OrderedJson& to);

// Ids in [0, vocabulary).
std::vector<int32_t> read_ids(Fields& fields, const std::string& name, const OrderedJson& list,
                              int64_t vocabulary);

}  // namespace looplm

#endif  // LOOPLM_SERVE_GENERATION_REQUEST_H_

// What a request has produced for certain: tokens and text, and when to stop.
#ifndef LOOPLM_INFER_OUTPUT_H_
#define LOOPLM_INFER_OUTPUT_H_

#include <optional>
#include <string>
#include <vector>

#include "looplm/generate.h"

#include "infer/stop_strings.h"

namespace looplm {

class Output {
 public:
  // `options` and `callback` must outlive the output.
  Output(const GenerateOptions& options, const Model& model, const TokenCallback& callback);

  // Returns true when generation is over. `ends`: nothing may follow this token.
  bool add(GeneratedToken token, bool ends);
  bool is_stop_id(int32_t id) const;
  // Sets why it ends, for reasons other than its tokens.
  void end(FinishReason reason) { reason_ = reason; }
  void fail(Status status);

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  // Completes the text first.
  void move_into(Generation& generation);

 private:
  const GenerateOptions& options_;
  const TokenCallback& callback_;
  StopStrings stops_;
  std::vector<int32_t> stop_ids_;
  const Tokenizer* tokenizer_ = nullptr;  // null where the model has none
  std::optional<Detokenizer> detokenizer_;
  std::vector<GeneratedToken> tokens_;
  std::string text_;
  FinishReason reason_ = FinishReason::kLength;
  Status status_;
};

}  // namespace looplm

#endif  // LOOPLM_INFER_OUTPUT_H_

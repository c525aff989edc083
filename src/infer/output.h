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

  // Returns true when generation is over.
  bool add(GeneratedToken token);
  bool is_stop_id(int32_t id) const;
  void cancel() { reason_ = FinishReason::kCancelled; }

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
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
};

}  // namespace looplm

#endif  // LOOPLM_INFER_OUTPUT_H_

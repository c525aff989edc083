#include "infer/output.h"

#include <algorithm>

namespace looplm {

namespace {

std::vector<std::string> all_stop_strings(const GenerateOptions& options, const Model& model) {
  std::vector<std::string> all = options.stop_strings;
  const std::vector<std::string>& own = model.stop_strings();
  if (!options.ignore_eos) all.insert(all.end(), own.begin(), own.end());
  return all;
}

}  // namespace

Output::Output(const GenerateOptions& options, const Model& model, const TokenCallback& callback)
    : options_(options),
      callback_(callback),
      stops_(all_stop_strings(options, model), options.stop_free) {
  stop_ids_ = options.stop_ids;
  if (!options.ignore_eos) {
    for (const EndOfText& end : model.ends_of_text()) stop_ids_.push_back(end.id);
  }
  tokenizer_ = model.tokenizer();
  if (tokenizer_ != nullptr) detokenizer_.emplace(*tokenizer_);
}

bool Output::is_stop_id(int32_t id) const {
  return std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
}

void Output::fail(Status status) {
  reason_ = FinishReason::kError;
  status_ = std::move(status);
}

bool Output::add(GeneratedToken token, bool ends) {
  const bool stop_id = is_stop_id(token.id);
  const bool last = stop_id || ends || size() + 1 == options_.max_tokens;
  if (detokenizer_.has_value()) {
    if (!stop_id) {
      token.text = tokenizer_->is_special(token.id)
                       ? stops_.push_special(tokenizer_->bytes(token.id))
                       : stops_.push(detokenizer_->push(token.id));
    }
    if (last && !stops_.stopped()) {
      token.text += stops_.push(detokenizer_->finish());
      token.text += stops_.finish();
    }
    text_ += token.text;
  }
  tokens_.push_back(std::move(token));
  const bool go_on = !callback_ || callback_(tokens_.back());
  if (stop_id || ends || stops_.stopped()) {
    reason_ = FinishReason::kStop;
  } else if (!go_on) {
    reason_ = FinishReason::kCancelled;
  } else {
    return last;
  }
  return true;
}

void Output::move_into(Generation& generation) {
  // After an end from elsewhere: what might have become a character or a stop string.
  if (detokenizer_.has_value() && !stops_.stopped()) {
    text_ += stops_.push(detokenizer_->finish());
    text_ += stops_.finish();
  }
  generation.tokens = std::move(tokens_);
  generation.text = std::move(text_);
  generation.finish_reason = reason_;
  generation.status = std::move(status_);
}

}  // namespace looplm

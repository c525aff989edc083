// The endpoints: each reads a request, and answers at once or begins an exchange.
#ifndef LOOPLM_SERVE_API_H_
#define LOOPLM_SERVE_API_H_

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http_server.h"
#include "serve/exchange.h"
#include "serve/generation_request.h"

namespace looplm {

// What endpoints work with once the model is there.
struct ApiContext {
  const ServedModel& served;
  ExchangeServices& exchange;
  int64_t max_tokens = 0;  // at most, of one request; 0: what the context allows
  double max_seconds = 0;  // the same of time; 0: no limit
};

// How an API says that something went wrong.
struct Dialect {
  OrderedJson (*error)(const ApiError& error);
};
extern const Dialect kAnthropic;
extern const Dialect kOllama;

// A request whose body has been read as JSON and whose client has been let in.
struct ApiCall {
  OrderedJson body;
  std::string tenant;  // of the client's key; empty without keys
  std::shared_ptr<HttpReply> reply;
  const Dialect* dialect = nullptr;  // null: OpenAI's own
  // Set where the request was translated from another dialect: its answer from OpenAI's, and the
  // prompt's tokens.
  std::function<std::unique_ptr<AnswerFormat>(std::unique_ptr<AnswerFormat> answer, int64_t tokens)>
      translate{};
  // Then too: fields, or what they begin with, and what the client calls them. The first that fits
  // counts.
  std::vector<std::pair<std::string, std::string>> renamed{};

  void answer(const OrderedJson& json) const;
  void refuse(const ApiError& error) const;
  std::string error_text(const ApiError& error) const;
  Pieces pieces(bool stream) const {
    return translate ? Pieces::kJson : stream ? Pieces::kText : Pieces::kNone;
  }
  std::unique_ptr<AnswerFormat> in_dialect(std::unique_ptr<AnswerFormat> answer,
                                           int64_t prompt_tokens) const;
};

void serve_completions(const ApiContext& context, const ApiCall& call);
void serve_chat(const ApiContext& context, const ApiCall& call);
void serve_embeddings(const ApiContext& context, const ApiCall& call);
void serve_responses(const ApiContext& context, const ApiCall& call);        // OpenAI
void serve_messages(const ApiContext& context, const ApiCall& call);         // Anthropic
void serve_count_tokens(const ApiContext& context, const ApiCall& call);     // Anthropic
void serve_ollama_chat(const ApiContext& context, const ApiCall& call);      // Ollama
void serve_ollama_generate(const ApiContext& context, const ApiCall& call);  // Ollama
void serve_ollama_show(const ApiContext& context, const ApiCall& call);      // Ollama
void serve_ollama_embed(const ApiContext& context, const ApiCall& call);     // Ollama
// Its older form, of one text.
void serve_ollama_embeddings(const ApiContext& context, const ApiCall& call);
void serve_tokenize(const ApiContext& context, const ApiCall& call);
void serve_detokenize(const ApiContext& context, const ApiCall& call);
void serve_apply_template(const ApiContext& context, const ApiCall& call);
// How many tokens the prompt of a request for chat completions has, as Anthropic's API says it.
void serve_token_count(const ApiContext& context, const ApiCall& call);

OrderedJson models_json(std::span<const ServedModel* const> models);
OrderedJson model_json(const ServedModel& served);
OrderedJson tokenizer_info_json(const ServedModel& served);
OrderedJson props_json(const ServedModel& served);
OrderedJson ollama_tags_json(std::span<const ServedModel* const> models);
OrderedJson ollama_ps_json(std::span<const ServedModel* const> models);  // all are in memory

using Sha256 = std::array<unsigned char, 32>;
Sha256 sha256_of(std::string_view text);

// A new name for an answer: "cmpl-" and 24 random letters and digits.
std::string random_id(const std::string& prefix);
int64_t now_seconds();  // since 1970

// Whether a prompt of `tokens` tokens fits into the context, with one token of an answer if it
// `answers`. The message names both lengths.
Status check_prompt_fits(const ServedModel& served, size_t tokens, bool answers);

// Cuts the limit of tokens to what fits after the prompt and makes the engine's requests, a
// request per prompt and choice. Fails on a prompt that does not fit, naming both lengths.
Result<std::vector<Request>> make_requests(const ApiContext& context, const GenerationRequest& r,
                                           const std::vector<std::vector<int32_t>>& prompts);

// Prompts as text, ids, or lists of either.
std::vector<std::vector<int32_t>> read_prompts(Fields& fields, const std::string& name,
                                               const ServedModel& served);

}  // namespace looplm

#endif  // LOOPLM_SERVE_API_H_

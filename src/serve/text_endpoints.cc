// /tokenize, /detokenize, /tokenizer_info and /props, in llama.cpp's and vLLM's forms.
#include <fmt/format.h>

#include "serve/api.h"
#include "serve/token_json.h"
#include "text/utf8.h"

namespace looplm {
namespace {

const Tokenizer* tokenizer_or_refuse(const ApiContext& context, const ApiCall& call) {
  const Tokenizer* tokenizer = context.served.model->tokenizer();
  if (tokenizer == nullptr) {
    call.refuse({.status = 400, .message = "the model has no tokenizer"});
  }
  return tokenizer;
}

}  // namespace

void serve_tokenize(const ApiContext& context, const ApiCall& call) {
  const Tokenizer* tokenizer = tokenizer_or_refuse(context, call);
  if (tokenizer == nullptr) return;
  Fields f(call.body);
  const char* name = f.has("content") ? "content" : "prompt";
  if (!f.has(name)) f.wrong("content", "is missing");
  const std::string content = f.text(name, "");
  // llama.cpp leaves the ids in front out unless asked, vLLM puts them in.
  const bool llama = std::string_view(name) == "content";
  EncodeOptions options;
  const bool special =
      llama ? f.boolean("add_special", false) : f.boolean("add_special_tokens", true);
  options.as = special ? EncodeAs::kPrompt : EncodeAs::kContinuation;
  options.parse_special = f.boolean("parse_special", true);
  const bool pieces = f.boolean("with_pieces", false);
  const bool texts = f.boolean("return_token_strs", false);
  if (f.failed()) return call.refuse(f.error());
  const Result<std::vector<int32_t>> ids = tokenizer->encode(content, options);
  if (!ids.ok()) return call.refuse(api_error_of(ids.status()));
  OrderedJson tokens = OrderedJson::array();
  OrderedJson names = OrderedJson::array();
  for (int32_t id : ids.value()) {
    const std::string_view bytes = tokenizer->bytes(id);
    const OrderedJson piece =
        is_utf8(bytes) ? OrderedJson(std::string(bytes)) : token_bytes_json(context.served, id);
    if (pieces) {
      tokens.push_back({{"id", id}, {"piece", piece}});
    } else {
      tokens.push_back(id);
    }
    names.push_back(token_name(context.served, id));
  }
  OrderedJson answer = {{"tokens", std::move(tokens)},
                        {"count", ids.value().size()},
                        {"max_model_len", context.served.context}};
  if (texts) answer["token_strs"] = std::move(names);
  call.answer(answer);
}

void serve_detokenize(const ApiContext& context, const ApiCall& call) {
  const Tokenizer* tokenizer = tokenizer_or_refuse(context, call);
  if (tokenizer == nullptr) return;
  Fields f(call.body);
  std::vector<int32_t> ids;
  if (const OrderedJson* list = f.find("tokens")) {
    ids = read_ids(f, "tokens", *list, context.served.model->config().vocab_size);
  } else {
    f.wrong("tokens", "is missing");
  }
  if (f.failed()) return call.refuse(f.error());
  const std::string text = tokenizer->decode(ids, false);
  call.answer({{"content", text}, {"prompt", text}});
}

OrderedJson tokenizer_info_json(const ServedModel& served) {
  const Tokenizer* tokenizer = served.model->tokenizer();
  const auto token = [&](const std::vector<int32_t>& ids) {
    const bool known = tokenizer != nullptr && !ids.empty();
    return known ? OrderedJson(token_name(served, ids.front())) : OrderedJson();
  };
  const std::vector<int32_t> none;
  return {{"tokenizer_class", "looplm"},
          {"bos_token", token(tokenizer == nullptr ? none : tokenizer->ids_in_front())},
          {"eos_token", token(served.end_ids)},
          {"pad_token", nullptr},
          {"model_max_length", served.context},
          {"chat_template", served.chat == nullptr ? "" : served.chat->source()}};
}

OrderedJson props_json(const ServedModel& served) {
  const ModelConfig& config = served.model->config();
  OrderedJson ends = OrderedJson::array();
  for (int32_t id : served.end_ids) {
    ends.push_back({{"id", id}, {"token", token_name(served, id)}});
  }
  OrderedJson props = {{"model", served.name},
                       {"build", "looplm"},
                       {"n_ctx", served.context},
                       {"layers", config.layers},
                       {"loops", config.loops},
                       {"exit_gate", config.exit_gate},
                       {"ends_of_text", std::move(ends)},
                       {"speculate", commit_kind_name(served.speculate.kind)}};
  if (served.chat != nullptr) {
    props["chat_template"] = served.chat->source();
    props["chat_notes"] = served.chat->notes();
    props["end_of_turn"] = served.chat->end_of_turn();
  }
  return props;
}

}  // namespace looplm

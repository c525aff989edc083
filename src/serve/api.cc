#include "serve/api.h"

#include <algorithm>
#include <chrono>
#include <random>

#include <fmt/format.h>
#include <openssl/sha.h>

#include "base/count_text.h"

namespace looplm {
namespace {

constexpr size_t kMostPrompts = 2048;       // OpenAI's, of embeddings
constexpr double kMostSeconds = 1e6;        // as good as none
constexpr int64_t kMostGenerations = 4096;  // of one call: prompts times choices

}  // namespace

void ApiCall::answer(const OrderedJson& json) const {
  reply->send(200, {{"Content-Type", "application/json"}}, dump_json(json));
}
void ApiCall::refuse(const ApiError& error) const {
  ApiError named = error;
  for (const auto& [ours, theirs] : renamed) {
    if (!named.param.starts_with(ours)) continue;
    const std::string quoted = "'" + named.param + "'";
    named.param.replace(0, ours.size(), theirs);
    if (named.message.starts_with(quoted)) {
      named.message.replace(0, quoted.size(), "'" + named.param + "'");
    }
    break;
  }
  reply->send(named.status, named.headers(), error_text(named.bounded()));
}
std::string ApiCall::error_text(const ApiError& error) const {
  return dump_json(dialect == nullptr ? error.json() : dialect->error(error));
}
std::unique_ptr<AnswerFormat> ApiCall::in_dialect(std::unique_ptr<AnswerFormat> answer,
                                                  int64_t prompt_tokens) const {
  return translate ? translate(std::move(answer), prompt_tokens) : std::move(answer);
}

Sha256 sha256_of(std::string_view text) {
  Sha256 digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

std::string random_id(const std::string& prefix) {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  static thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, sizeof(kLetters) - 2);
  std::string id = prefix;
  for (int i = 0; i < 24; ++i) id += kLetters[letter(random)];
  return id;
}

int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Status check_prompt_fits(const ServedModel& served, size_t tokens, bool answers) {
  if (tokens + (answers ? 1 : 0) <= static_cast<size_t>(served.context)) return {};
  return invalid_argument(fmt::format(
      "the prompt has {} tokens and the context {}; a prompt must leave room for an answer", tokens,
      served.context));
}

Result<std::vector<Request>> make_requests(const ApiContext& context, const GenerationRequest& r,
                                           const std::vector<std::vector<int32_t>>& prompts) {
  const ServedModel& served = context.served;
  const int64_t count = static_cast<int64_t>(prompts.size()) * r.choices;
  if (count > kMostGenerations) {
    return unsupported(fmt::format("{} with {} each are {} generations; expected at most {}",
                                   count_text(prompts.size(), "prompt"),
                                   count_text(r.choices, "answer"), count, kMostGenerations));
  }
  std::vector<Request> requests;
  for (const std::vector<int32_t>& prompt : prompts) {
    const auto length = static_cast<int64_t>(prompt.size());
    LOOPLM_RETURN_IF_ERROR(check_prompt_fits(served, prompt.size(), r.options.max_tokens != 0));
    int64_t room = served.context - length;
    if (context.max_tokens > 0) room = std::min(room, context.max_tokens);
    for (int64_t choice = 0; choice < r.choices; ++choice) {
      Request request;
      request.prompt = prompt;
      request.options = r.options;
      request.options.max_tokens =
          r.options.max_tokens < 0 ? room : std::min(r.options.max_tokens, room);
      request.options.sampling.seed += static_cast<uint64_t>(choice);
      if (!request.options.ignore_eos) {
        std::vector<int32_t>& stops = request.options.stop_ids;
        stops.insert(stops.end(), served.end_ids.begin(), served.end_ids.end());
      }
      if (!served.base.empty()) request.adapter = served.name;
      request.tenant = r.tenant;
      request.priority = -r.priority;  // the engine's higher ones go first
      const double limit = context.max_seconds > 0 ? context.max_seconds : kMostSeconds;
      const double seconds = std::min(limit, r.timeout_seconds.value_or(limit));
      if (seconds < kMostSeconds) {
        request.deadline = std::chrono::steady_clock::now() +
                           std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
      }
      if (r.make_constraint) {
        request.constraint = r.make_constraint();
      } else if (r.grammar != nullptr) {
        request.constraint = std::make_shared<GrammarConstraint>(r.grammar, served.end_ids);
      }
      if (r.provisional) request.callbacks.screen = [](const ProvisionalToken&) { return true; };
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

std::vector<std::vector<int32_t>> read_prompts(Fields& f, const std::string& name,
                                               const ServedModel& served) {
  std::vector<std::vector<int32_t>> prompts;
  const OrderedJson* value = f.find(name);
  if (value == nullptr) {
    f.wrong(name, "is missing");
    return prompts;
  }
  const auto add_text = [&](const OrderedJson& text) {
    const Tokenizer* tokenizer = served.model->tokenizer();
    if (tokenizer == nullptr) {
      return f.wrong(name, "is text, and the model has no tokenizer; expected token ids");
    }
    Result<std::vector<int32_t>> ids = tokenizer->encode(text.get<std::string>());
    if (!ids.ok()) return f.wrong(name, "cannot be read: " + ids.status().message());
    prompts.push_back(std::move(ids).value());
  };
  const auto add_ids = [&](const OrderedJson& list) {
    prompts.push_back(read_ids(f, name, list, served.model->config().vocab_size));
  };
  const bool listed = value->is_array() && !value->empty();
  if (value->is_string()) {
    add_text(*value);
  } else if (listed && (*value)[0].is_number()) {
    add_ids(*value);
  } else if (listed && value->size() <= kMostPrompts) {
    for (const OrderedJson& one : *value) {
      if (one.is_string()) {
        add_text(one);
      } else if (one.is_array()) {
        add_ids(one);
      } else {
        f.wrong_value(name, *value, "a text, token ids, or a list of either");
      }
      if (f.failed()) return prompts;
    }
  } else if (listed) {
    f.wrong(name, fmt::format("has {} prompts; expected at most {}", value->size(), kMostPrompts));
  } else {
    f.wrong_value(name, *value, "a text, token ids, or a list of either");
  }
  for (const std::vector<int32_t>& prompt : prompts) {
    if (prompt.empty()) f.wrong(name, "is empty; expected at least one token");
  }
  return prompts;
}

OrderedJson model_json(const ServedModel& served) {
  const ModelConfig& config = served.model->config();
  OrderedJson json = {{"id", served.name},
                      {"object", "model"},
                      {"created", served.created},
                      {"owned_by", "looplm"},
                      {"max_model_len", served.context},
                      {"meta",
                       {{"n_params", config.parameter_count()},
                        {"n_ctx", served.context},
                        {"n_vocab", config.vocab_size},
                        {"n_embd", config.hidden_size},
                        {"layers", config.layers},
                        {"loops", config.loops},
                        {"exit_gate", config.exit_gate},
                        {"converses", served.converses()}}}};
  if (!served.base.empty()) json["parent"] = served.base;
  return json;
}

OrderedJson models_json(std::span<const ServedModel* const> models) {
  OrderedJson list = OrderedJson::array();
  for (const ServedModel* served : models) list.push_back(model_json(*served));
  return {{"object", "list"}, {"data", std::move(list)}};
}

}  // namespace looplm

#include "serve/hosted_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "infer/parts.h"
#include "kernels/attention.h"
#include "serve/api.h"

namespace looplm {
namespace {

// A request of the whole context must fit alone, at the model's loops.
Status fit_context(Model& model, uint64_t kv_bytes, int64_t& context) {
  if (kv_bytes == 0) return {};
  const ModelConfig& config = model.config();
  const auto per_page =
      model.parts().pages.page_bytes() * static_cast<uint64_t>(config.layers * config.loops);
  const auto pages = static_cast<int64_t>(kv_bytes / per_page);
  if (pages < 1) {
    return invalid_argument(
        fmt::format("{} bytes for keys and values; expected at least {}, for {} positions",
                    kv_bytes, per_page, kPagePositions));
  }
  context = std::min(context, pages * kPagePositions);
  return {};
}

// The model's files may know nothing of the template: an adapter brought it, or it stands in place
// of none.
void add_ends_of_turn(ServedModel& served) {
  if (served.chat == nullptr) return;
  for (const int32_t id : served.chat->end_ids()) {
    if (id >= served.model->config().vocab_size) continue;
    if (std::ranges::find(served.end_ids, id) == served.end_ids.end()) served.end_ids.push_back(id);
  }
}

}  // namespace

Result<std::unique_ptr<HostedModel>> HostedModel::create(Model& model,
                                                         const ServedModelOptions& options,
                                                         const ServeOptions& server, Worker& texts,
                                                         ServeMetrics& metrics) {
  const ModelConfig& config = model.config();
  ServedModel served;
  served.model = &model;
  served.name = options.name.empty() ? server.model_name : options.name;
  served.created = now_seconds();
  served.context = server.context > 0 ? server.context : config.max_positions;
  if (served.context > config.max_positions) {
    return invalid_argument(fmt::format("a context of {} positions; the model {} has {}",
                                        served.context, served.name, config.max_positions));
  }
  EngineOptions engine = server.engine;
  if (options.kv_bytes > 0) engine.kv_bytes = options.kv_bytes;
  LOOPLM_RETURN_IF_ERROR(fit_context(model, engine.kv_bytes, served.context));
  served.speculate = config.loops > 1 ? options.speculate : SpeculateOptions{};
  served.chat = options.chat;
  served.tuned = options.tuned;
  for (const EndOfText& end : model.ends_of_text()) served.end_ids.push_back(end.id);
  if (const Tokenizer* tokenizer = model.tokenizer()) {
    served.grammars =
        std::make_shared<GrammarCache>(std::make_shared<const VocabularyTrie>(*tokenizer));
  }
  add_ends_of_turn(served);
  std::vector<ServedModel> all = {served};
  for (const ServedModelOptions::Adapter& adapter : options.adapters) {
    ServedModel& adapted = all.emplace_back(served);
    adapted.base = served.name;
    adapted.name = adapter.name;
    if (adapter.chat != nullptr) adapted.chat = adapter.chat;
    add_ends_of_turn(adapted);
  }
  return std::unique_ptr<HostedModel>(
      new HostedModel(std::move(all), model, engine, server, texts, metrics));
}

HostedModel::HostedModel(std::vector<ServedModel> served, Model& model, const EngineOptions& engine,
                         const ServeOptions& server, Worker& texts, ServeMetrics& metrics)
    : served_(std::move(served)), runner_(std::in_place, model, engine, server.request_limit) {
  for (const ServedModel& one : served_) {
    exchanges_.push_back({*runner_, texts, metrics.of(one.name), server.ping_every});
  }
}

Status HostedModel::update_weights(const TensorSource& tensors) {
  Status status;
  runner_->between_passes([&] { status = served_[0].model->update_weights(tensors); });
  return status;
}

}  // namespace looplm

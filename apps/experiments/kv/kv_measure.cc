#include "experiments/kv/kv_measure.h"

#include <optional>

#include <fmt/format.h>

#include "looplm/engine.h"

namespace looplm {
namespace {

// Runs all texts together; each ends with `done`.
Result<std::vector<Generation>> run(Model& model, const std::vector<KvText>& texts,
                                    const KvCondition& condition, bool forced,
                                    const KvProgress& progress) {
  std::vector<Generation> all(texts.size());
  size_t ended = 0;
  EngineOptions options;
  options.share_prefixes = false;
  options.kv_bytes = uint64_t{256} << 20;
  Engine engine(model, options);
  for (size_t i = 0; i < texts.size(); ++i) {
    const KvText& text = texts[i];
    Request request;
    request.prompt = text.prompt;
    request.options.max_tokens = static_cast<int64_t>(text.rest.size());
    request.options.ignore_eos = true;
    request.options.kv = condition.kv;
    request.options.prompt_kv = condition.prompt_kv;
    request.done = [&all, &ended, i](Generation g) {
      all[i] = std::move(g);
      ++ended;
    };
    if (forced) {
      request.replay = [&text](int64_t index, int64_t, int64_t, int32_t) {
        return text.rest[static_cast<size_t>(index)];
      };
    }
    LOOPLM_RETURN_IF_ERROR(
        engine.submit(std::move(request))
            .status()
            .with_context(fmt::format("text {} under {}", i + 1, condition.name())));
  }
  size_t told = 0;
  while (engine.step()) {
    if (ended == told) continue;
    told = ended;
    if (progress && !progress(static_cast<double>(ended) / static_cast<double>(texts.size()))) {
      return Status(StatusCode::kCancelled, "stopped");
    }
  }
  for (const Generation& g : all) LOOPLM_RETURN_IF_ERROR(g.status);
  return all;
}

}  // namespace

std::string KvCondition::id() const {
  return fmt::format("{}{}", kv_policy_name(kv),
                     prompt_kv == PromptKv::kAsDecoded ? "-prompt" : "");
}

std::string KvCondition::name() const {
  return fmt::format("{}{}", kv_policy_name(kv),
                     prompt_kv == PromptKv::kAsDecoded ? ", prompt too" : "");
}

std::vector<KvCondition> kv_conditions() {
  std::vector<KvCondition> all;
  for (const KvPolicy kv : {KvPolicy::kFull, KvPolicy::kLast, KvPolicy::kMean, KvPolicy::kFirst}) {
    all.push_back({kv, PromptKv::kEveryLoop});
  }
  for (const KvPolicy kv : {KvPolicy::kLast, KvPolicy::kMean, KvPolicy::kFirst}) {
    all.push_back({kv, PromptKv::kAsDecoded});
  }
  return all;
}

Result<KvAnswers> kv_answers(Model& model, const std::vector<KvText>& texts,
                             const KvCondition& condition, const KvProgress& progress) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Generation> all,
                          run(model, texts, condition, false, progress));
  KvAnswers answers;
  double bytes = 0, positions = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int32_t> ids;
    for (const GeneratedToken& token : all[i].tokens) ids.push_back(token.id);
    answers.ids.push_back(std::move(ids));
    bytes += static_cast<double>(all[i].statistics.kv_bytes);
    // The last token is not fed back.
    positions += static_cast<double>(texts[i].prompt.size() + texts[i].rest.size()) - 1;
  }
  answers.bytes_per_position = bytes / positions;
  return answers;
}

Result<std::vector<double>> kv_losses(Model& model, const std::vector<KvText>& texts,
                                      const KvCondition& condition, const KvProgress& progress) {
  LOOPLM_ASSIGN_OR_RETURN(const std::vector<Generation> all,
                          run(model, texts, condition, true, progress));
  std::vector<double> losses;
  for (const Generation& g : all) {
    double nats = 0;
    for (const GeneratedToken& token : g.tokens) nats -= static_cast<double>(token.log_probability);
    losses.push_back(nats);
  }
  return losses;
}

uint64_t kv_bytes_per_position(const ModelConfig& config, KvPolicy policy, KvType type) {
  return static_cast<uint64_t>(kv_planes(policy, config.loops) * config.layers * 2 *
                               config.kv_size() * kv_type_bytes(type));
}

}  // namespace looplm

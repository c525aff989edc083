// Answers and losses under each way of keeping keys and values.
#ifndef LOOPLM_EXPERIMENTS_KV_KV_MEASURE_H_
#define LOOPLM_EXPERIMENTS_KV_KV_MEASURE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "looplm/generate.h"
#include "looplm/model.h"

namespace looplm {

struct KvCondition {
  KvPolicy kv = KvPolicy::kFull;
  PromptKv prompt_kv = PromptKv::kEveryLoop;

  std::string id() const;    // "last", "last-prompt": in results and names of cells
  std::string name() const;  // "last", "last, prompt too"
};

// The paper's four, and its negative control: the prompt read under the policy too.
std::vector<KvCondition> kv_conditions();

struct KvText {
  std::vector<int32_t> prompt;
  std::vector<int32_t> rest;
};

struct KvAnswers {
  std::vector<std::vector<int32_t>> ids;  // of each text, as many as its rest
  double bytes_per_position = 0;          // of keys and values at the end, pages in part empty too
};

// The share that is done, from 0 to 1; false to stop.
using KvProgress = std::function<bool(double share)>;

// Greedy continuations, of as many tokens as each text's rest. kCancelled when stopped.
Result<KvAnswers> kv_answers(Model& model, const std::vector<KvText>& texts,
                             const KvCondition& condition, const KvProgress& progress);

// Of each text, nats of its rest's tokens (summed), when those are decoded one by one in place of
// what the model would have chosen.
Result<std::vector<double>> kv_losses(Model& model, const std::vector<KvText>& texts,
                                      const KvCondition& condition, const KvProgress& progress);

// Bytes that a policy keeps for a position, pages aside.
uint64_t kv_bytes_per_position(const ModelConfig& config, KvPolicy policy, KvType type);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_KV_KV_MEASURE_H_

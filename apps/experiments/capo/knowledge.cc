#include "experiments/capo/knowledge.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/check.h"
#include "eval/depth_scores.h"
#include "experiments/capo/biography.h"
#include "train/token_shard.h"

namespace looplm {
namespace {

constexpr int64_t kBatch = 500;  // people scored together

std::vector<bool> knowledge_marks(const Biography& biography) {
  std::vector<bool> marks;
  for (TokenRole role : biography.roles) marks.push_back(role != TokenRole::kText);
  return marks;
}

}  // namespace

Result<KnowledgeLoss> measure_knowledge(Model& model, const KnowledgeMeasurement& measurement) {
  const BiographyWriter writer;
  double name_nats = 0;
  double attribute_nats = 0;
  for (int64_t first = 0; first < measurement.people; first += kBatch) {
    const int64_t end = std::min(first + kBatch, measurement.people);
    std::vector<EvalExample> examples;
    std::vector<TokenRole> roles;  // of the scored tokens, in order
    for (int64_t i = first; i < end; ++i) {
      Biography biography =
          writer.write(measurement.world, static_cast<uint64_t>(i), measurement.exposure);
      std::copy_if(biography.roles.begin(), biography.roles.end(), std::back_inserter(roles),
                   [](TokenRole role) { return role != TokenRole::kText; });
      EvalExample example;
      example.scored = knowledge_marks(biography);
      example.ids = std::move(biography.ids);
      examples.push_back(std::move(example));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<DepthScores> scores,
                            score_depths(model, examples, measurement.loops));
    size_t token = 0;
    for (const DepthScores& s : scores) {
      for (int64_t i = 0; i < s.tokens; ++i, ++token) {
        const auto nll = static_cast<double>(s.nll[s.at(measurement.loops - 1, i)]);
        (roles[token] == TokenRole::kName ? name_nats : attribute_nats) += nll;
      }
    }
    LOOPLM_CHECK(token == roles.size());
    if (measurement.progress &&
        !measurement.progress(static_cast<double>(end) / static_cast<double>(measurement.people))) {
      return Status(StatusCode::kCancelled, "stopped while measuring");
    }
  }
  const auto people = static_cast<double>(measurement.people);
  return KnowledgeLoss{measurement.people, name_nats / people, attribute_nats / people};
}

Status write_knowledge_shard(const KnowledgeMeasurement& measurement, const std::string& path) {
  const BiographyWriter writer;
  TokenShardWriter shard(writer.vocab_size());
  for (int64_t i = 0; i < measurement.people; ++i) {
    const Biography biography =
        writer.write(measurement.world, static_cast<uint64_t>(i), measurement.exposure);
    const std::vector<bool> marks = knowledge_marks(biography);
    LOOPLM_CHECK(std::count(marks.begin(), marks.end(), true) == kKnowledgeTokens);
    shard.add(biography.ids, marks);
  }
  return shard.write(path);
}

double known_bits(const KnowledgeLoss& loss) {
  const double nats = std::log(kPossibleNames) - loss.name_nats + std::log(kPossibleAttributes) -
                      loss.attribute_nats;
  return static_cast<double>(loss.people) * nats / std::numbers::ln2;
}

double knowable_bits(int64_t people) {
  const auto n = static_cast<double>(people);
  return n * (std::log2(kPossibleNames / n) + std::log2(kPossibleAttributes));
}

}  // namespace looplm

#include "looplm/trace.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "infer/exit_rule.h"
#include "infer/parts.h"
#include "infer/sequence.h"
#include "infer/softmax.h"
#include "model/exit_distribution.h"

namespace looplm {
namespace {

// Rows read out at once: the head is the largest matrix, so it is not read for every row.
constexpr int64_t kReadOutRows = 16;

std::vector<TopToken> top_tokens(std::span<const float> logits, int64_t count, double log_sum) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto keep = std::min(order.size(), static_cast<size_t>(count));
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(keep), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = logits[static_cast<size_t>(a)];
                      const float y = logits[static_cast<size_t>(b)];
                      return x > y || (x == y && a < b);
                    });
  std::vector<TopToken> top;
  for (size_t i = 0; i < keep; ++i) {
    const double logit = static_cast<double>(logits[static_cast<size_t>(order[i])]);
    top.push_back({order[i], static_cast<float>(logit - log_sum)});
  }
  return top;
}

}  // namespace

Result<Trace> trace(Model& model, std::span<const int32_t> ids, const TraceOptions& options) {
  const ModelConfig& config = model.config();
  if (ids.empty()) return invalid_argument("nothing to trace: no tokens given");
  if (static_cast<int64_t>(ids.size()) > config.max_positions) {
    return invalid_argument(
        fmt::format("{} tokens exceed the model's {} positions", ids.size(), config.max_positions));
  }
  for (int32_t id : ids) {
    if (id < 0 || id >= config.vocab_size) {
      return invalid_argument(
          fmt::format("token id {} is out of range; expected 0 to {}", id, config.vocab_size - 1));
    }
  }
  const int64_t loops = options.loops == 0 ? config.loops : options.loops;
  if (loops < 1 || loops > kMaxLoops) {
    return invalid_argument(fmt::format("loops is {}; expected 1 to {}", loops, kMaxLoops));
  }
  if (options.top < 0) {
    return invalid_argument(fmt::format("top is {}; expected 0 or more", options.top));
  }
  if (options.prompt_chunk < 1) {
    return invalid_argument(
        fmt::format("prompt_chunk is {}; expected 1 or more", options.prompt_chunk));
  }

  Trace result;
  result.loops = loops;
  result.ids.assign(ids.begin(), ids.end());
  result.cells.resize(static_cast<size_t>(loops) * ids.size());
  const auto cell = [&](int64_t loop, int64_t token) -> TracedLoop& {
    return result.cells[static_cast<size_t>(loop) * ids.size() + static_cast<size_t>(token)];
  };

  PassRunner& runner = *model.parts().runner;
  Sequence sequence(runner, model.parts().pages, loops, KvPolicy::kFull);
  const int64_t width = config.hidden_size;
  std::vector<float> previous;
  std::vector<float> logits(static_cast<size_t>(kReadOutRows * config.vocab_size));
  const auto observe = [&](const Sequence::ChunkLoop& c) -> Status {
    for (int64_t i = 0; i < c.count; ++i) {
      const float* h = c.normed + i * width;
      if (i % kReadOutRows == 0) {
        runner.read_out(h, std::min(kReadOutRows, c.count - i), logits.data());
      }
      const std::span<const float> row = {logits.data() + i % kReadOutRows * config.vocab_size,
                                          static_cast<size_t>(config.vocab_size)};
      TracedLoop& to = cell(c.loop, c.first + i);
      to.gate_logit = c.lanes[static_cast<size_t>(i)].gate_logit;
      const auto size = static_cast<size_t>(width);
      std::span<const float> before;
      if (c.loop > 0) before = {previous.data() + i * width, size};
      const StateChange change = state_change({h, size}, before);
      to.hidden_norm = change.norm;
      to.hidden_difference = change.difference;
      const SoftmaxSummary summary = summarize_softmax(row);
      to.entropy = summary.entropy;
      if (options.top > 0) to.top = top_tokens(row, options.top, summary.log_sum);
      if (options.on_logits) {
        LOOPLM_RETURN_IF_ERROR(options.on_logits(c.loop, c.first + i, row));
      }
    }
    previous.assign(c.normed, c.normed + c.count * width);
    return {};
  };
  LOOPLM_RETURN_IF_ERROR(sequence.read_prompt(ids, options.prompt_chunk, observe));

  std::vector<float> gate(static_cast<size_t>(loops));
  std::vector<double> log_p(gate.size());
  for (size_t token = 0; token < ids.size(); ++token) {
    for (int64_t t = 0; t < loops; ++t) {
      gate[static_cast<size_t>(t)] = cell(t, static_cast<int64_t>(token)).gate_logit;
    }
    exit_log_probabilities(gate, log_p);
    for (int64_t t = 0; t < loops; ++t) {
      const bool last = t + 1 == loops;
      cell(t, static_cast<int64_t>(token)).exit_probability =
          config.exit_gate ? std::exp(log_p[static_cast<size_t>(t)]) : (last ? 1.0 : 0.0);
    }
  }
  return result;
}

}  // namespace looplm

#include "looplm/interchange.h"

#include <algorithm>

#include <fmt/format.h>

#include "infer/parts.h"
#include "infer/sequence.h"

namespace looplm {
namespace {

constexpr int64_t kChunk = 256;  // positions per pass

Result<int64_t> check_text(const ModelConfig& config, std::span<const int32_t> ids, int64_t loops) {
  if (ids.empty()) return invalid_argument("no states to read: no tokens given");
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
  if (loops < 0 || loops > kMaxLoops) {
    return invalid_argument(fmt::format("loops is {}; expected 0 to {}", loops, kMaxLoops));
  }
  return loops == 0 ? config.loops : loops;
}

class KeepStates : public BlockHook {
 public:
  explicit KeepStates(TextStates& to) : to_(to) {}
  void after_block(int64_t layer, std::span<const Lane> lanes, float* states) override {
    for (const Lane& lane : lanes) {
      const int64_t row = (lane.loop * to_.layers + layer) * to_.positions + lane.position;
      std::copy_n(states, to_.width, to_.states.data() + row * to_.width);
      states += to_.width;
    }
  }

 private:
  TextStates& to_;
};

// For passes of positions from `place.first` on.
class PutStates : public BlockHook {
 public:
  PutStates(const StatePlace& place, const TextStates& from) : place_(place), from_(from) {}
  void after_block(int64_t layer, std::span<const Lane> lanes, float* states) override {
    if (layer != place_.layer) return;
    for (const Lane& lane : lanes) {
      if (lane.loop == place_.loop && lane.position < place_.end) {
        std::ranges::copy(from_.state(lane.loop, layer, lane.position), states);
      }
      states += from_.width;
    }
  }

 private:
  StatePlace place_;
  const TextStates& from_;
};

// Reads the rest of the text and returns the logits (loops, V) of its last position.
Result<std::vector<float>> read_on(Sequence& sequence, PassRunner& runner,
                                   std::span<const int32_t> rest, int64_t loops, BlockHook* hook) {
  const ModelConfig& config = runner.weights().config();
  const int64_t last = sequence.length() + static_cast<int64_t>(rest.size()) - 1;
  std::vector<float> logits(static_cast<size_t>(loops * config.vocab_size));
  const auto observe = [&](const Sequence::ChunkLoop& c) -> Status {
    if (last < c.first + c.count) {
      runner.read_out(c.normed + (last - c.first) * config.hidden_size, 1,
                      logits.data() + c.loop * config.vocab_size);
    }
    return {};
  };
  LOOPLM_RETURN_IF_ERROR(sequence.read_prompt(rest, kChunk, observe, hook));
  return logits;
}

}  // namespace

Result<TextStates> read_states(Model& model, std::span<const int32_t> ids, int64_t loops) {
  const ModelConfig& config = model.config();
  TextStates states;
  LOOPLM_ASSIGN_OR_RETURN(states.loops, check_text(config, ids, loops));
  states.layers = config.layers;
  states.positions = static_cast<int64_t>(ids.size());
  states.width = config.hidden_size;
  states.vocab_size = config.vocab_size;
  states.states.resize(
      static_cast<size_t>(states.loops * states.layers * states.positions * states.width));
  KeepStates keep(states);
  PassRunner& runner = *model.parts().runner;
  Sequence sequence(runner, model.parts().pages, states.loops, KvPolicy::kFull);
  LOOPLM_ASSIGN_OR_RETURN(states.logits, read_on(sequence, runner, ids, states.loops, &keep));
  return states;
}

struct Interchange::Parts {
  Parts(Model& of, std::span<const int32_t> text, int64_t text_loops)
      : model(of),
        config(model.config()),
        runner(*model.parts().runner),
        ids(text.begin(), text.end()),
        loops(text_loops),
        sequence(runner, model.parts().pages, loops, KvPolicy::kFull) {}

  Model& model;
  const ModelConfig& config;
  PassRunner& runner;
  std::vector<int32_t> ids;
  int64_t loops;
  Sequence sequence;
  // Positions from 0 whose keys and values are the text's own, by the weights of this version.
  int64_t unchanged = 0;
  uint64_t weights_version = 0;
};

Interchange::Interchange(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Interchange::~Interchange() = default;
Interchange::Interchange(Interchange&&) noexcept = default;
Interchange& Interchange::operator=(Interchange&&) noexcept = default;

Result<Interchange> Interchange::create(Model& model, std::span<const int32_t> ids, int64_t loops) {
  LOOPLM_ASSIGN_OR_RETURN(loops, check_text(model.config(), ids, loops));
  return Interchange(std::make_unique<Parts>(model, ids, loops));
}

Result<std::vector<float>> Interchange::run(const StatePlace& place, const TextStates& source) {
  Parts& p = *parts_;
  const auto positions = static_cast<int64_t>(p.ids.size());
  if (place.loop < 0 || place.loop >= p.loops || place.layer < 0 ||
      place.layer >= p.config.layers) {
    return invalid_argument(fmt::format("loop {}, layer {} to change; expected below {} and {}",
                                        place.loop, place.layer, p.loops, p.config.layers));
  }
  if (place.first < 0 || place.first >= place.end || place.end > positions) {
    return invalid_argument(fmt::format("positions {}..{} to change; the text has 0..{}",
                                        place.first, place.end - 1, positions - 1));
  }
  if (source.loops != p.loops || source.layers != p.config.layers ||
      source.positions != positions || source.width != p.config.hidden_size) {
    return invalid_argument(
        fmt::format("states of {} loops, {} layers, {} positions, width {} cannot be put into "
                    "a text's of {}, {}, {}, {}",
                    source.loops, source.layers, source.positions, source.width, p.loops,
                    p.config.layers, positions, p.config.hidden_size));
  }
  const std::span<const int32_t> ids = p.ids;
  if (p.weights_version != p.model.weights_version()) p.unchanged = 0;
  p.weights_version = p.model.weights_version();
  if (p.unchanged > place.first) p.unchanged = place.first;
  p.sequence.rewind(std::min(p.sequence.length(), p.unchanged));
  if (p.unchanged < place.first) {
    const auto to_read = static_cast<size_t>(place.first - p.unchanged);
    LOOPLM_RETURN_IF_ERROR(
        p.sequence.read_prompt(ids.subspan(static_cast<size_t>(p.unchanged), to_read), kChunk, {}));
    p.unchanged = place.first;
  }
  PutStates put(place, source);
  return read_on(p.sequence, p.runner, ids.subspan(static_cast<size_t>(place.first)), p.loops,
                 &put);
}

}  // namespace looplm

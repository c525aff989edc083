// What a public Model is made of.
#ifndef LOOPLM_INFER_PARTS_H_
#define LOOPLM_INFER_PARTS_H_

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "looplm/model.h"

#include "infer/effort.h"
#include "infer/lane_costs.h"
#include "infer/loop_odds.h"
#include "infer/pass.h"
#include "kernels/device.h"
#include "model/guess_maps.h"
#include "model/weights.h"

namespace looplm {

struct Model::Parts {
  std::string name;
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the model has none
  Status tokenizer_status;  // why a file's tokenizer is not read, where it has one
  std::vector<EndOfText> ends;
  std::vector<std::string> stop_strings{};
  std::shared_ptr<Device> device;
  ModelWeights weights;
  std::atomic<uint64_t> weights_version{1};  // relaxed: any thread may ask for the number
  // Beside the weights, by name. That of no name is for requests that name none.
  std::map<std::string, AdapterWeights> adapters;
  std::unique_ptr<GuessMaps> guesses;  // null: none
  PagePool pages;
  std::unique_ptr<PassRunner> runner;
  // What speculation goes by, learnt by all engines of the model.
  LaneCosts lane_costs{};
  LoopOdds loop_odds{};
  EffortChoice effort{};

  const ModelConfig& config() const { return weights.config(); }
  // Null where there is none of that name.
  AdapterWeights* find_adapter(const std::string& adapter) {
    const auto found = adapters.find(adapter);
    return found == adapters.end() ? nullptr : &found->second;
  }
  AdapterWeights& place_adapter(const std::string& adapter, const Adapter& from);
};

}  // namespace looplm

#endif  // LOOPLM_INFER_PARTS_H_

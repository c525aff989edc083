// A low-rank adapter (Hu et al., "LoRA", 2021): beside a block's matrix W (out, in) stand A (rank,
// in) and B (out, rank), and the product is W x + alpha / rank * B A x, or with a stabilised rank
// (Kalajdzievski, "rsLoRA", 2023) W x + alpha / sqrt(rank) * B A x. All loops share A and B, or
// each loop has its own.
//
// Files are as the `peft` package writes and reads them: adapter_config.json and
// adapter_model.safetensors. Adapters of the loops are an extension: "looplm_loops" in the
// configuration says how many there are, and loop t's matrices are named "...lora_A.loopT.weight"
// (t from 1). Further loops take the last one's.
#ifndef LOOPLM_MODEL_ADAPTER_H_
#define LOOPLM_MODEL_ADAPTER_H_

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "base/thread_pool.h"
#include "model/checkpoint.h"
#include "model/parameter_set.h"

namespace looplm {

inline constexpr int64_t kMaxAdapterRank = 4096;
inline constexpr double kMaxAdapterAlpha = 1e6;

struct AdapterSettings {
  int64_t rank = 0;  // 0: no adapter
  double alpha = 16;
  bool rslora = false;               // alpha / sqrt(rank) instead of alpha / rank
  double dropout = 0;                // of the adapter's input while it is trained
  std::vector<std::string> targets;  // "q_proj", ...; empty: all matrices of a block
  bool per_loop = false;             // each loop has its own
  int64_t loops = 0;                 // with per_loop, how many; 0: as many as the model has

  // Of A and B beside each matrix.
  int64_t copies(const ModelConfig& config) const {
    return !per_loop ? 1 : loops > 0 ? loops : config.loops;
  }
  bool any() const { return rank > 0; }
  double scale() const {
    const auto r = static_cast<double>(rank);
    return alpha / (rslora ? std::sqrt(r) : r);
  }
  bool operator==(const AdapterSettings&) const = default;
};

// The matrices of a block that may have an adapter, by the names that PEFT uses.
struct AdapterTarget {
  const char* name;       // "q_proj"
  const char* parameter;  // "self_attn.q_proj.weight"
};
std::span<const AdapterTarget> adapter_targets();

// An error that names the first target that no block has, or that is there twice.
Status check_targets(const std::vector<std::string>& targets);
bool has_target(const AdapterSettings& settings, const AdapterTarget& target);

// The names of A and B beside a matrix: "model.layers.3.self_attn.q_proj.weight" gives
// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", or "...lora_A.loop1.weight" for
// loop 0's own.
std::string adapter_down_name(const std::string& parameter, std::optional<int64_t> loop = {});
std::string adapter_up_name(const std::string& parameter, std::optional<int64_t> loop = {});

// A and B of every adapted matrix, loop by loop and block by block.
std::vector<ParameterSpec> adapter_specs(const ModelConfig& config,
                                         const AdapterSettings& settings);

// B is zero, so that a fresh adapter changes nothing; A is uniform as in PEFT, a function of seed
// and name.
void initialize_adapter(uint64_t seed, ParameterSet& values);

struct Adapter {
  AdapterSettings settings;
  ParameterSet values;

  // Whether it can be added to the matrices as they are stored. Otherwise it must stand beside
  // them: all loops read the same matrices, and integers stay as they are.
  bool is_mergeable(const Checkpoint& base) const;
};

// Errors name what an adapter for this model must have: its targets, the shape of each matrix,
// finite values. Variants of LoRA that change more than a product with B A are refused by name.
Result<Adapter> read_adapter(const std::string& directory, const ModelConfig& config);

// Whether save_adapter may have written a file of this name.
bool is_adapter_file(const std::string& name);

// Writes a directory that appears whole or not at all. `base` is the model's path, for
// base_model_name_or_path. `chat_template` is the one that it learnt to chat by; empty: none.
Status save_adapter(const std::string& directory, const AdapterSettings& settings,
                    const ParameterSet& values, const std::string& base,
                    const std::string& chat_template = {});

// out[i] += element first + i of scale() * B A, of the matrix of that name; nothing for a
// parameter without adapter. The same bits however a matrix is cut into spans.
void add_adapter(const Adapter& adapter, const std::string& parameter, int64_t first,
                 std::span<float> out);

// A checkpoint's values with an adapter added, in the types that they are stored in (F16 becomes
// F32). An error if it is not mergeable.
class AdaptedTensors {
 public:
  static Result<AdaptedTensors> create(const Checkpoint& checkpoint, const Adapter& adapter,
                                       ThreadPool& pool);
  // Valid while this and the checkpoint live.
  TensorSource source() const;
  // Of the matrices: kBf16 if all are stored so.
  DType matrix_dtype() const { return matrix_dtype_; }

 private:
  struct Changed {
    TensorView view;
    Buffer<std::byte> bytes;
  };
  TensorSource base_;
  std::unordered_map<std::string, Changed> changed_;
  DType matrix_dtype_ = DType::kBf16;
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_ADAPTER_H_

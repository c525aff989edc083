// A training run as typed settings, and the run file (TOML) that says the same.
//
// The tables below are the file's, and so are the names but for a few that are longer here;
// docs/training.md describes each.
#ifndef LOOPLM_TRAIN_RUN_CONFIG_H_
#define LOOPLM_TRAIN_RUN_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "base/named.h"
#include "model/adapter.h"
#include "model/trunk.h"
#include "tensor/dtype.h"
#include "train/data_loader.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace looplm {

class TomlReader;

// What matrices that are not trained are held in.
enum class FrozenMatrices {
  kStored,  // small integers as they are stored, floats in compute.dtype
  kInt8,
  kInt4,  // the head in int8
};
inline constexpr NameTable<FrozenMatrices, 3> kFrozenMatricesNames = {
    {{FrozenMatrices::kStored, "stored"},
     {FrozenMatrices::kInt8, "int8"},
     {FrozenMatrices::kInt4, "int4"}}};

// What attention multiplies in.
enum class AttentionProducts { kDType, kF32 };
inline constexpr NameTable<AttentionProducts, 2> kAttentionProductsNames = {
    {{AttentionProducts::kDType, "dtype"}, {AttentionProducts::kF32, "f32"}}};

struct RunConfig {
  struct Model {
    std::string from;       // checkpoint to start from; empty: a fresh model of `config`
    std::string tokenizer;  // whose tokenizer files go into checkpoints; empty: `from`'s, if any
    // Of a fresh model. kv_heads, head_dim and max_positions that are 0 follow from the others.
    ModelConfig config{};
    uint64_t seed = 1;  // of fresh weights
    bool operator==(const Model&) const = default;
  };
  struct DataSource {
    std::string path;  // a shard, or a directory of shards
    double weight = 1;
    bool operator==(const DataSource&) const = default;
  };
  struct Data {
    std::vector<DataSource> train;  // empty: streams of TrainOptions
    std::vector<std::string> validation;
    int64_t sequence_length = 512;
    bool split_documents = true;
    LongDocuments long_documents = LongDocuments::kRefuse;
    bool shuffle = true;  // off: documents in the order of the files
    bool operator==(const Data&) const = default;
  };
  // A step sees accumulate * sequences * sequence_length rows.
  struct Batch {
    int64_t sequences = 8;
    int64_t accumulate = 1;
    bool operator==(const Batch&) const = default;
  };
  struct Run {
    std::string out;
    int64_t steps = 0;
    uint64_t seed = 1;  // of the order of the data
    int64_t log_every = 10;
    int64_t validate_every = 0;    // 0: only at the end
    int64_t validate_batches = 0;  // 0: the whole validation set
    int64_t checkpoint_every = 0;  // 0: only at the end
    int64_t keep = 2;              // checkpoints to keep
    bool keep_best = false;        // the model of the lowest validation loss, in OUT/best
    int64_t patience = 0;  // validations in a row without a lower loss that end the run; 0: none do
    bool operator==(const Run&) const = default;
  };
  struct Compute {
    DType dtype = DType::kF32;
    AttentionProducts attention = AttentionProducts::kDType;
    FrozenMatrices frozen = FrozenMatrices::kStored;
    MemoryPolicy memory = MemoryPolicy::kBlockInputs;
    int threads = 0;
    DType save_dtype = DType::kBf16;  // of the final model
    bool operator==(const Compute&) const = default;
  };

  Model model;
  AdapterSettings lora;  // of rank 0: the model's own weights are trained
  Data data;
  Batch batch;
  ObjectiveSettings objective;
  OptimizerSettings optimizer;
  Schedule schedule;  // its peak is optimizer.learning_rate in the file
  Run run;
  Compute compute;

  bool operator==(const RunConfig&) const = default;
};

// Errors name the key ("batch.sequences"), the value and what was expected; unknown keys are errors
// too. `overrides` are "key=value" with dotted keys and TOML values, applied before checking.
// `what` names the source.
Result<RunConfig> parse_run_config(const std::string& toml_text, const std::string& what,
                                   const std::vector<std::string>& overrides = {});
Result<RunConfig> read_run_config(const std::string& path,
                                  const std::vector<std::string>& overrides = {});

// The run file with every key written out: parse_run_config gives an equal configuration, if it is
// one that a file may state.
std::string write_run_config(const RunConfig& config);

// Reads what write_run_config wrote. A trainer without a directory has no run.out.
Result<RunConfig> parse_written_run_config(const std::string& toml_text, const std::string& what);

// A configuration made in code, checked and completed by the rules of run files, except that
// run.out may be empty.
Result<RunConfig> complete_run_config(const RunConfig& config);

// Reads keys of run files, by their whole names ("optimizer.beta1"), from a table that holds them
// under their last names beside keys of its own, as settings of studies do.
void read_run_keys(TomlReader& table, RunConfig& config, const std::vector<std::string>& names);

// A key on which two configurations differ, with the values as TOML; empty where one has no such
// key.
struct RunKeyDifference {
  std::string key;
  std::string before;
  std::string now;
};
// The keys that decide the numbers of a run and differ. Those of paths, of how often something is
// done, and of memory and threads do not, nor does run.steps, which says only where a run ends.
std::vector<RunKeyDifference> run_differences(const RunConfig& before, const RunConfig& now);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_RUN_CONFIG_H_

// What the benchmarks of whole models share.
#ifndef LOOPLM_CLI_BENCH_MODEL_H_
#define LOOPLM_CLI_BENCH_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "looplm/engine.h"

#include "base/json.h"
#include "base/median.h"
#include "cli/commands.h"
#include "infer/parts.h"
#include "kernels/peaks.h"

namespace looplm::cli {

struct ModelBenchOptions {
  std::string directory;
  std::vector<std::string> formats = {"bf16"};
  std::string kv_type = "bf16";
  std::string output = "table";
  int threads = 0;
  int64_t loops = 0;
  int64_t context = 16;
  int64_t tokens = 16;
  int64_t rounds = 5;
};

// One weight format of the model under test.
struct BenchedModel {
  std::string format;
  std::unique_ptr<Model> model;
};

void add_model_bench_options(Command& command, ModelBenchOptions& options);
// --format, for a BenchTable.
void add_format_option(Command& command, std::string& output);
// Loads the model once per format.
Result<std::vector<BenchedModel>> load_benched(const ModelBenchOptions& options);

// The type whose dot rate bounds products with weights of this format.
DType arithmetic_of(const std::string& format);

std::vector<int32_t> bench_ids(int64_t count, int64_t vocabulary, uint64_t seed);

// Rows of named values, printed as an aligned table, as CSV, or as one JSON object per line.
class BenchTable {
 public:
  explicit BenchTable(std::string output) : output_(std::move(output)) {}
  // A line about the machine and the model; a table's only.
  void title(const std::string& text) const;
  void add(OrderedJson row) { rows_.push_back(std::move(row)); }
  void print() const;

 private:
  std::string output_;
  std::vector<OrderedJson> rows_;
};

std::string bench_title(const BenchedModel& benched, const ModelBenchOptions& options);

}  // namespace looplm::cli

#endif  // LOOPLM_CLI_BENCH_MODEL_H_

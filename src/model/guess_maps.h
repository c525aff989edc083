// Guess maps: what an early loop's state still lacks to say what the last loop says.
//
//   m_t(h) = h + W_t h + b_t
//
// for the loops t = 1 .. T - 1 of a model with T, h being the normed state after loop t. Where a
// token is only proposed, the head reads m_t(h) in place of h, and is right more often. No result
// depends on them; maps of zeros change nothing at all. `looplm train` makes them
// (train/objective.h).
//
// They stand in a file of their own beside the weights: guess.safetensors in a model's directory,
// NAME.guess.safetensors beside NAME.gguf. Its tensors are, for each t, "guess.loopT.weight" (E, E)
// and "guess.loopT.bias" (E), in F32, BF16 or F16.
#ifndef LOOPLM_MODEL_GUESS_MAPS_H_
#define LOOPLM_MODEL_GUESS_MAPS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "looplm/config.h"
#include "looplm/status.h"

#include "base/file.h"
#include "kernels/kernels.h"
#include "model/parameter_set.h"

namespace looplm {

// Where the maps of the model at `model_path` are looked for.
std::string guess_file(const std::string& model_path);

// W and b of each loop but the last, in the order of loops; none for a model of one loop.
std::vector<ParameterSpec> guess_specs(const ModelConfig& config);

// As a file has them.
struct StoredGuesses {
  ParameterSet values;
  DType dtype = DType::kF32;  // kBf16 where all matrices are stored so
};

// None where there is no file. Errors name a tensor that is missing, misshapen, not finite or no
// map of this model.
Result<std::optional<StoredGuesses>> read_guesses(const std::string& model_path,
                                                  const ModelConfig& config);

// Writes the file of a model's directory into `directory`, which appears whole or not at all and
// holds nothing else. dtype is kF32 or kBf16.
Status save_guesses(const std::string& directory, const ParameterSet& values, DType dtype);
// Whether save_guesses may have written a file of this name.
bool is_guess_file(const std::string& name);

// The maps of one model go with another of the same loops and width: writes them as those of
// `model_path`. False where there are none.
Result<bool> copy_guesses(const std::string& from_model, const ModelConfig& config,
                          const std::string& model_path);
// The same into the file `to`, all but the last step.
Result<std::optional<AtomicFileWriter>> begin_guess_copy(const std::string& from_model,
                                                         const ModelConfig& config,
                                                         const std::string& to);

// The maps in the form that products read.
class GuessMaps {
 public:
  // Matrices are packed as kF32 or kBf16; all zero.
  GuessMaps(const ModelConfig& config, DType dtype);

  // Bytes of matrices, without making them.
  static uint64_t planned_bytes(const ModelConfig& config, DType dtype);

  // Takes the current values of a set of guess_specs().
  void repack(const ParameterSet& values, Device& device);

  // How many loops have a map: all but the last.
  int64_t loops() const { return static_cast<int64_t>(maps_.size()); }

  // out (rows, E) = m of states (rows, E) after loop `loop` (from 0), elsewhere in memory. A row's
  // result does not depend on the others.
  void forward(int64_t loop, const float* states, int64_t rows, float* out, Device& device) const;
  // In place: row r of states (rows, E) goes through the map of loop loops[r]; -1 leaves it alone.
  void apply(std::span<const int64_t> loops, float* states, Device& device);
  // From dout, the gradient of out: adds to the gradients of W and b.
  void backward(int64_t loop, const float* states, int64_t rows, const float* dout,
                ParameterSet& gradients, Device& device) const;

 private:
  struct Map {
    std::string weight_name, bias_name;
    PackedMatrix weight;
    std::vector<float> bias;
  };

  int64_t width_;
  std::vector<Map> maps_;
  std::vector<size_t> rows_;   // of apply(), those of one loop
  std::vector<float> states_;  // of these rows, before and after
};

}  // namespace looplm

#endif  // LOOPLM_MODEL_GUESS_MAPS_H_

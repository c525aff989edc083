// Models with adapters beside their matrices: lanes of any loop and adapter in a pass, and matrices
// in small integers.
#include "model/adapter.h"

#include "looplm/engine.h"

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "model/quantized_checkpoint.h"
#include "model/trunk.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class AdaptedModel : public testing::Test {
 protected:
  AdaptedModel() { write_test_checkpoint(directory_.file("model"), parameters_, config_); }

  // Saves an adapter with A and B drawn from `seed`.
  Adapter make_adapter(const std::string& name, const AdapterSettings& settings,
                       uint64_t seed = 9) const {
    Adapter adapter{settings, ParameterSet(adapter_specs(config_, settings))};
    Rng rng(seed);
    for (float& value : adapter.values.values()) value = 0.3f * (2 * rng.uniform() - 1);
    EXPECT_OK(save_adapter(directory_.file(name), settings, adapter.values, "model"));
    return adapter;
  }
  Result<std::unique_ptr<Model>> load(const std::string& name, const std::string& adapter,
                                      int threads = 1) const {
    ModelOptions options;
    options.threads = threads;
    options.kv = KvType::kF32;
    if (!adapter.empty()) options.adapter = directory_.file(adapter);
    return Model::load(directory_.file(name), options);
  }
  std::vector<float> states(Model& model, int64_t loops, int64_t chunk = 256) const {
    return read_prompt(*model.parts().runner, model.parts().pages, ids_, loops, chunk).normed;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ParameterSet parameters_ = random_parameters(config_, 3);
  std::vector<int32_t> ids_ = random_ids(40, config_.vocab_size, 4);
};

TEST_F(AdaptedModel, EachLoopUsesItsOwnAsInTraining) {
  const AdapterSettings settings = {
      .rank = 3, .alpha = 6, .targets = {}, .per_loop = true, .loops = config_.loops};
  const Adapter adapter = make_adapter("own", settings);
  auto model = load("model", "own");
  ASSERT_OK(model);
  const int64_t loops = config_.loops + 1;  // the last one's serves the loop beyond
  const std::vector<float> actual = states(**model, loops);

  const std::unique_ptr<Device> device = std::move(Device::create(1).value());
  const ModelWeights weights =
      ModelWeights::for_training(parameters_, config_, DType::kF32, *device);
  AdapterWeights beside(config_, settings, AdapterUse::kTraining);
  beside.repack(adapter.values, *device);
  const auto rows = static_cast<int64_t>(ids_.size());
  Trunk trunk(config_, {.rows = rows, .loops = loops, .max_document = rows, .backward = false},
              &beside);
  trunk.forward(weights, ids_, std::vector<int64_t>{0, rows}, *device);
  const auto floats = static_cast<size_t>(rows * config_.hidden_size);
  for (int64_t loop = 0; loop < loops; ++loop) {
    const auto at = static_cast<size_t>(loop) * floats;
    EXPECT_TRUE(same_bits({actual.data() + at, floats}, {trunk.state(loop), floats})) << loop;
  }
  EXPECT_TRUE(same_bits(states(**model, loops, 7), actual));
}

// The engine puts lanes of different loops into a pass; a sequence alone never does.
TEST_F(AdaptedModel, TokensDoNotDependOnCompanyInThePass) {
  make_adapter("own", {.rank = 3, .alpha = 6, .targets = {}, .per_loop = true, .loops = 3});
  GenerateOptions plain;
  plain.max_tokens = 24;
  plain.ignore_eos = true;
  plain.sampling.temperature = 0.8;
  GenerateOptions speculating = plain;
  speculating.speculate = {CommitKind::kLoop, 1};
  std::vector<int32_t> expected;
  for (const int threads : {1, 2}) {
    auto model = load("model", "own", threads);
    ASSERT_OK(model);
    for (const GenerateOptions& options : {plain, speculating}) {
      Result<Generation> answer = generate(**model, ids_, options);
      ASSERT_OK(answer);
      std::vector<int32_t> ids;
      for (const GeneratedToken& token : answer->tokens) ids.push_back(token.id);
      if (expected.empty()) expected = ids;
      EXPECT_EQ(ids, expected);
    }
  }
}

TEST_F(AdaptedModel, StandsBesideStoredIntegers) {
  make_adapter("shared", {.rank = 3, .alpha = 6, .targets = {}});
  ThreadPool pool(2);
  for (const Quant quant : {Quant::kInt8, Quant::kInt4}) {
    {
      Result<Checkpoint> checkpoint = open_checkpoint(directory_.file("model"));
      ASSERT_OK(checkpoint);
      ASSERT_OK(save_quantized(directory_.file("small"), *checkpoint, BlockQuants::all(quant),
                               Quant::kInt8, pool));
    }
    auto exact = load("model", "shared"), adapted = load("small", "shared"),
         bare = load("small", "");
    ASSERT_OK(exact);
    ASSERT_OK(adapted);
    ASSERT_OK(bare);
    const auto error = [&](Result<std::unique_ptr<Model>>& model) {
      return relative_error(states(**model, 1), states(**exact, 1));
    };
    EXPECT_LT(error(adapted), 0.5 * error(bare));
    EXPECT_TRUE(same_bits(states(**adapted, 1, 7), states(**adapted, 1)));
  }
}

// Whatever runs beside them, and though they begin alike: what one adapter makes of a prompt is of
// no use to another.
TEST_F(AdaptedModel, RequestsOfManyAdaptersShareOneModel) {
  make_adapter("shared", {.rank = 3, .alpha = 6, .targets = {}});
  make_adapter("other", {.rank = 5, .alpha = 5, .targets = {"k_proj", "down_proj"}}, 10);
  make_adapter("own", {.rank = 2, .alpha = 8, .targets = {}, .per_loop = true, .loops = 3}, 11);
  const std::vector<std::string> names = {"", "shared", "other", "own"};
  std::vector<Request> requests;
  for (const bool speculates : {false, true}) {
    Request request;
    request.prompt = ids_;
    request.options.max_tokens = 8;
    request.options.ignore_eos = true;
    if (speculates) request.options.speculate = {CommitKind::kLoop, 1};
    requests.push_back(request);
  }
  std::map<std::string, std::vector<std::string>> alone;
  for (const std::string& name : names) {
    auto model = load("model", "");
    ASSERT_OK(model);
    if (!name.empty()) ASSERT_OK((*model)->add_adapter(name, directory_.file(name)));
    for (Request request : requests) {
      request.adapter = name;
      Result<Generation> answer = generate(**model, std::move(request));
      ASSERT_OK(answer);
      alone[name].push_back(answer_text(*answer));
    }
  }
  EXPECT_NE(alone[""], alone["shared"]);
  EXPECT_NE(alone["other"], alone["own"]);

  for (const int threads : {1, 2}) {
    auto model = load("model", "", threads);
    ASSERT_OK(model);
    for (size_t i = 1; i < names.size(); ++i) {
      ASSERT_OK((*model)->add_adapter(names[i], directory_.file(names[i])));
    }
    Engine engine(**model);
    // The second time, the prompts are kept.
    for (int time = 0; time < 2; ++time) {
      for (const std::string& name : names) {
        for (size_t i = 0; i < requests.size(); ++i) {
          Request request = requests[i];
          request.adapter = name;
          request.done = [&, expected = alone[name][i], name](Generation g) {
            EXPECT_EQ(answer_text(g), expected) << "'" << name << "'";
          };
          ASSERT_OK(engine.submit(std::move(request)));
        }
      }
      engine.run();
    }
    EXPECT_EQ(engine.statistics().cached_prompt_tokens, 8 * kPagePositions);
  }
}

TEST_F(AdaptedModel, NamesOfAdaptersAreKnownAndDiffer) {
  make_adapter("shared", {.rank = 3, .alpha = 6, .targets = {}});
  auto model = load("model", "");
  ASSERT_OK(model);
  Request request;
  request.prompt = ids_;
  request.adapter = "french";
  EXPECT_ERROR_SAYS(generate(**model, request), "no adapter 'french'", "it has none at all");
  ASSERT_OK((*model)->add_adapter("sums", directory_.file("shared")));
  EXPECT_ERROR_SAYS(generate(**model, request), "'french'", "expected 'sums'");
  EXPECT_ERROR_SAYS((*model)->add_adapter("sums", directory_.file("shared")), "two", "'sums'");
  EXPECT_ERROR_SAYS((*model)->add_adapter("", directory_.file("shared")), "empty");
  EXPECT_ERROR_SAYS((*model)->add_adapter("none", directory_.file("none")), "none/adapter_config");
}

}  // namespace
}  // namespace looplm

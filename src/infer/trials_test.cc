// Differential trials: random requests in random company against the same requests alone.
// LOOPLM_TRIALS=20000 LOOPLM_TRIALS_SEED=7 infer_test --gtest_filter='*Trials*' runs more of them.
#include <array>
#include <cstdlib>
#include <functional>
#include <map>

#include <fmt/format.h>

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

ModelConfig tiny_config() {
  ModelConfig c = small_config();
  c.vocab_size = 43;
  c.hidden_size = 24;
  c.layers = 2;
  c.head_dim = 8;
  c.intermediate_size = 24;
  return c;
}

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// A request that can be made again: a constraint has state, so each run gets its own.
struct Recipe {
  Request request;  // without callbacks and constraint
  bool constrained = false;

  Request make() const {
    Request r = request;
    if (constrained) r.constraint = std::make_shared<ToyGrammar>();
    return r;
  }
};

// What lanes may cost where an engine goes by that: nothing, as on a large model, as on a small
// one, and so much that each lane is a pass; reading out next to nothing, and as much as passes; or
// as learnt.
LaneCosts lane_costs(int64_t kind) {
  constexpr std::array<double, 6> kCostOf64 = {1, 2, 4, 6, 9, 64};
  if (kind >= std::ssize(kCostOf64)) return {};
  return LaneCosts(CostCurve({{1, 1}, {64, kCostOf64[static_cast<size_t>(kind)]}}),
                   CostCurve({{1, kind % 2 == 0 ? 0.01 : 0.7}, {64, 2}}));
}

class Draw {
 public:
  explicit Draw(uint64_t seed) : rng_(seed) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(rng_.below(static_cast<uint32_t>(n))); }
  int64_t between(int64_t least, int64_t most) { return least + below(most - least + 1); }
  bool one_in(int64_t n) { return below(n) == 0; }
  template <typename T>
  T of(std::initializer_list<T> all) {
    return *(all.begin() + below(static_cast<int64_t>(all.size())));
  }

 private:
  Rng rng_;
};

// Beginnings that requests share.
std::vector<int32_t> prompt_of(Draw& draw, const ModelConfig& config) {
  std::vector<int32_t> ids =
      random_ids(90, config.vocab_size, static_cast<uint64_t>(draw.below(2)));
  ids.resize(static_cast<size_t>(draw.of<int64_t>({0, 5, 64, 90, 90})));
  const int64_t more = draw.one_in(3) && !ids.empty() ? 0 : draw.between(1, 40);
  for (int32_t id : random_ids(more, config.vocab_size, static_cast<uint64_t>(draw.below(4)))) {
    ids.push_back(id);
  }
  return ids;
}

ReadOutPlan plan_of(Draw& draw, int64_t prompt_size) {
  const auto loops = [&draw] {
    return draw.of({ReadLoops::kNone, ReadLoops::kExit, ReadLoops::kEvery});
  };
  ReadOutPlan plan;
  plan.prompt = loops();
  plan.output = loops();
  plan.first = draw.below(prompt_size + 1);
  plan.top = draw.below(4);
  plan.states = draw.one_in(3);
  plan.embedding = draw.of({Pooling::kNone, Pooling::kMean, Pooling::kLast});
  plan.embedding_loop = draw.below(2);
  return plan;
}

Recipe recipe_of(Draw& draw, const ModelConfig& config) {
  Recipe recipe;
  Request& r = recipe.request;
  r.prompt = prompt_of(draw, config);
  GenerateOptions& o = r.options;
  o.max_tokens = draw.between(0, 24);
  o.ignore_eos = draw.one_in(2);
  if (draw.one_in(4)) o.stop_ids = {static_cast<int32_t>(draw.below(config.vocab_size))};
  o.prompt_chunk = draw.of<int64_t>({3, 16, 256});
  o.exit.max_loops = draw.of<int64_t>({0, 0, 2, 4});
  switch (draw.below(4)) {
    case 0:
      o.exit.kind = ExitKind::kGate;
      o.exit.threshold = draw.of({0.3, 0.55, 0.8});
      break;
    case 1:
      o.exit.kind = draw.of({ExitKind::kMargin, ExitKind::kRelativeDifference});
      o.exit.threshold = draw.of({0.1, 0.6});
      break;
    case 2:
      if (draw.one_in(2)) o.read_out = ReadOut::kWeighted;
      break;
  }
  if (draw.one_in(3)) {
    o.kv = draw.of({KvPolicy::kLast, KvPolicy::kMean, KvPolicy::kFirst, KvPolicy::kLastExited});
    if (kv_planes(o.kv, 2) == 1 && draw.one_in(4)) o.prompt_kv = PromptKv::kAsDecoded;
  } else if (draw.one_in(2)) {
    o.speculate = draw.of<SpeculateOptions>({{CommitKind::kLoop, 1},
                                             {CommitKind::kLoop, 2},
                                             {CommitKind::kGate, 0.4},
                                             {CommitKind::kMargin, 0.1},
                                             {CommitKind::kAuto},
                                             {CommitKind::kAuto},
                                             {CommitKind::kAuto},
                                             {CommitKind::kAuto}});
  }
  if (draw.one_in(2)) {
    o.sampling.temperature = 0.9;
    o.sampling.seed = static_cast<uint64_t>(draw.below(3));
    o.sampling.top_k = draw.of<int64_t>({0, 10});
    o.sampling.top_p = draw.of({1.0, 0.9});
    o.sampling.repetition_penalty = draw.of({1.0, 1.3});
    o.sampling.frequency_penalty = draw.of({0.0, 0.4});
  }
  if (draw.one_in(3)) o.plan = plan_of(draw, static_cast<int64_t>(r.prompt.size()));
  recipe.constrained = draw.one_in(3);
  r.tenant = draw.one_in(4) ? "other" : "";
  r.priority = draw.of<int64_t>({0, 0, 0, 1, -1});
  return recipe;
}

EngineOptions engine_options_of(Draw& draw, uint64_t page_bytes) {
  EngineOptions options;
  options.share_prefixes = !draw.one_in(4);
  options.lane_budget = draw.of<int64_t>({0, 0, 0, 1, 6, 1000});
  options.prompt_lanes = draw.of<int64_t>({7, 40, 256});
  // The largest request alone has five pages in eight planes, and a page of output.
  if (draw.one_in(2)) options.kv_bytes = page_bytes * static_cast<uint64_t>(draw.between(56, 120));
  if (draw.one_in(2)) options.prefix_bytes = page_bytes * static_cast<uint64_t>(draw.below(60));
  return options;
}

class Trials : public testing::TestWithParam<Isa> {
 protected:
  // With guess maps that are right for nothing, or without.
  std::unique_ptr<Model> load(int threads, bool guesses = true) {
    const std::string directory = directory_.file(guesses ? "guessing" : "plain");
    if (!file_exists(directory + "/config.json")) {
      write_test_checkpoint(directory, random_parameters(config_, 5), config_);
      if (guesses) write_random_guesses(directory, config_, 8);
    }
    ModelOptions options;
    options.threads = threads;
    return std::move(Model::load(directory, options)).value();
  }

  ScopedIsa isa_{GetParam()};
  TempDir directory_;
  ModelConfig config_ = tiny_config();
};

// One engine and its requests.
class Trial {
 public:
  Trial(Model& model, Model& alone, Draw& draw, const ModelConfig& config)
      : alone_(alone),
        draw_(draw),
        config_(config),
        options_(engine_options_of(draw, model.parts().pages.page_bytes())),
        engine_(std::make_unique<Engine>(model, options_)) {}

  int64_t promoted() const { return promoted_; }

  // The number of requests compared.
  int64_t run(EngineStatistics& sum) {
    const int64_t requests = draw_.between(4, 12);
    while (submitted_ < requests || engine_->statistics().waiting > 0 ||
           engine_->statistics().running > 0) {
      if (submitted_ < requests && draw_.one_in(4)) submit(requests);
      engine_->step();
      if (options_.kv_bytes > 0) {
        EXPECT_LE(engine_->statistics().kv_bytes, options_.kv_bytes);
      }
      if (draw_.one_in(40) && !ids_.empty()) {
        const int64_t id = ids_[static_cast<size_t>(draw_.below(submitted_))];
        cancelled_.insert({id, true});
        engine_->cancel(id);
      }
      if (draw_.one_in(200)) engine_->drop_prefixes();
    }
    engine_->run();
    for (const auto& [id, count] : ended_) EXPECT_EQ(count, 1) << "done() of " << id;
    EXPECT_EQ(static_cast<int64_t>(ended_.size()), submitted_);
    sum.preemptions += engine_->statistics().preemptions;
    sum.cached_prompt_tokens += engine_->statistics().cached_prompt_tokens;
    sum.shared_prompt_tokens += engine_->statistics().shared_prompt_tokens;
    engine_->drop_prefixes();
    EXPECT_EQ(engine_->statistics().kv_bytes, 0u) << "pages were lost";
    return submitted_;
  }

 private:
  void submit(int64_t requests) {
    const Recipe recipe = recipe_of(draw_, config_);
    Request plain = recipe.make();
    plain.options.speculate = {};
    const Result<Generation> expected = generate(alone_, std::move(plain));
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    // The same once more, as several samples of a prompt are.
    const int64_t copies = draw_.one_in(4) ? 3 : 1;
    for (int64_t i = 0; i < copies && submitted_ < requests; ++i) {
      submit_one(recipe, expected.value(), requests);
    }
  }

  void submit_one(const Recipe& recipe, Generation expected, int64_t requests) {
    const auto index = static_cast<size_t>(submitted_++);
    ids_.push_back(0);
    Request r = recipe.make();
    const bool submits_more = draw_.one_in(5);
    r.done = [this, index, submits_more, requests, expected](const Generation& got) {
      const int64_t id = ids_[index];
      ++ended_[id];
      promoted_ += got.statistics.promoted_tokens;
      if (got.finish_reason == FinishReason::kCancelled) {
        EXPECT_TRUE(cancelled_.contains(id));
        EXPECT_LE(got.tokens.size(), expected.tokens.size());
        for (size_t t = 0; t < std::min(got.tokens.size(), expected.tokens.size()); ++t) {
          EXPECT_EQ(got.tokens[t].id, expected.tokens[t].id);
        }
      } else {
        EXPECT_EQ(answer_text(got), answer_text(expected));
      }
      if (submits_more && submitted_ < requests) submit(requests);
    };
    Result<int64_t> id = engine_->submit(std::move(r));
    ASSERT_TRUE(id.ok()) << id.status().message();
    ids_[index] = id.value();
  }

  Model& alone_;
  Draw& draw_;
  const ModelConfig& config_;
  const EngineOptions options_;
  int64_t submitted_ = 0;
  std::vector<int64_t> ids_;
  std::map<int64_t, bool> cancelled_;
  std::map<int64_t, int64_t> ended_;
  int64_t promoted_ = 0;
  std::unique_ptr<Engine> engine_;
};

TEST_P(Trials, EveryRequestGetsWhatItGetsAlone) {
  const auto trials = static_cast<int64_t>(setting("LOOPLM_TRIALS", 120));
  const uint64_t first_seed = setting("LOOPLM_TRIALS_SEED", 1);
  const auto alone = load(1, /*guesses=*/false);
  const auto one_thread = load(1);
  const auto two_threads = load(2);
  EngineStatistics sum;
  int64_t compared = 0, promoted = 0;
  for (int64_t i = 0; i < trials; ++i) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(i);
    SCOPED_TRACE(fmt::format("LOOPLM_TRIALS=1 LOOPLM_TRIALS_SEED={}", seed));
    Draw draw(seed);
    for (Model* m : {one_thread.get(), two_threads.get()}) {
      m->parts().lane_costs = lane_costs(static_cast<int64_t>(seed % 7));
      m->parts().loop_odds = {};
      m->parts().effort = {};
    }
    Trial trial(draw.one_in(4) ? *two_threads : *one_thread, *alone, draw, config_);
    compared += trial.run(sum);
    promoted += trial.promoted();
    if (HasFailure()) return;
  }
  RecordProperty("compared", std::to_string(compared));
  RecordProperty("promoted", std::to_string(promoted));
  RecordProperty("preemptions", std::to_string(sum.preemptions));
  RecordProperty("cached", std::to_string(sum.cached_prompt_tokens));
  RecordProperty("shared", std::to_string(sum.shared_prompt_tokens));
  if (trials < 60) return;
  EXPECT_GT(compared, 5 * trials);
  EXPECT_GT(promoted, trials / 2) << "hardly a second-best token was chosen later";
  EXPECT_GT(sum.preemptions, trials / 8) << "hardly a request was preempted";
  EXPECT_GT(sum.cached_prompt_tokens, 5 * trials);
  EXPECT_GT(sum.shared_prompt_tokens, 5 * trials) << "hardly a prompt was shared while it was read";
}

INSTANTIATE_TEST_SUITE_P(Isa, Trials, testing::ValuesIn(available_isas()), isa_parameter_name);

}  // namespace
}  // namespace looplm

// The wavefront's contracts: exits, speculation, company, chunks, threads and shared prefixes
// change the passes, never a token. Equality throughout.
#include "looplm/engine.h"

#include <map>

#include <fmt/format.h>

#include "infer/sampler.h"
#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

struct Answer {
  std::vector<int32_t> ids;
  std::vector<int64_t> loops;
  bool operator==(const Answer&) const = default;
};

void PrintTo(const Answer& a, std::ostream* out) {
  for (size_t i = 0; i < a.ids.size(); ++i) *out << a.ids[i] << '@' << a.loops[i] << ' ';
}

Answer answer_of(const Generation& g) {
  Answer a;
  for (const GeneratedToken& token : g.tokens) {
    a.ids.push_back(token.id);
    a.loops.push_back(token.loops);
  }
  return a;
}

int64_t sum_after_first(const Answer& a) {
  int64_t sum = 0;
  for (size_t i = 1; i < a.loops.size(); ++i) sum += a.loops[i];
  return sum;
}

// The definition: every position runs all its loops, one after the other, and only then is a
// read-out picked.
Answer reference(Model& model, std::span<const int32_t> prompt, const GenerateOptions& o) {
  const ModelConfig& config = model.config();
  PassRunner& runner = *model.parts().runner;
  const int64_t loops = o.exit.max_loops == 0 ? config.loops : o.exit.max_loops;
  const ExitRule rule = make_exit_rule(o.exit, config.exit_gate).value();
  PositionReader reader(config, rule, o.read_out, o.exit.min_loops, loops);
  Sampler sampler(o.sampling, prompt);
  Sequence sequence(runner, model.parts().pages, loops, KvPolicy::kFull);
  EXPECT_OK(sequence.read_prompt(prompt.first(prompt.size() - 1), 256, {}));
  Answer a;
  int32_t last = prompt.back();
  while (static_cast<int64_t>(a.ids.size()) < o.max_tokens) {
    sequence.extend(last, reader);
    TokenChoice choice;
    choice.sampler = &sampler;
    choice.logits = reader.logits();
    choice.summary = &reader.summary();
    choice.position = sequence.length();
    choose_tokens({&choice, 1}, config.vocab_size, runner.device());
    last = choice.token;
    sampler.accept(last);
    a.ids.push_back(last);
    a.loops.push_back(reader.loops());
  }
  return a;
}

class EngineTest : public testing::TestWithParam<Isa> {
 protected:
  std::unique_ptr<Model> load(uint64_t seed, int threads = 1, KvType kv = KvType::kF32,
                              WeightType weights = WeightType::kAsStored) {
    const std::string directory = directory_.file(fmt::format("model{}", seed));
    if (!file_exists(directory + "/config.json")) {
      write_test_checkpoint(directory, random_parameters(config_, seed), config_);
    }
    ModelOptions options;
    options.threads = threads;
    options.kv = kv;
    options.weights = weights;
    return std::move(Model::load(directory, options)).value();
  }

  static GenerateOptions request(int64_t tokens) {
    GenerateOptions o;
    o.max_tokens = tokens;
    o.ignore_eos = true;
    return o;
  }

  // Requests of every kind that keeps all planes, with what speculation may be laid over them.
  std::vector<GenerateOptions> exact_requests(uint64_t seed) const {
    std::vector<GenerateOptions> all;
    GenerateOptions o = request(24);
    all.push_back(o);
    o.exit = {ExitKind::kGate, 0.55, 1, 0};
    all.push_back(o);
    o.exit = {ExitKind::kGate, 0.8, 2, 5};
    all.push_back(o);
    o.exit = {ExitKind::kRelativeDifference, 0.6, 1, 0};
    all.push_back(o);
    o.exit = {ExitKind::kMargin, 0.2, 1, 4};
    all.push_back(o);
    o.exit = {};
    o.read_out = ReadOut::kWeighted;
    all.push_back(o);
    o.read_out = ReadOut::kSelected;
    const size_t greedy = all.size();
    for (size_t i = 0; i < greedy; ++i) {
      GenerateOptions sampled = all[i];
      sampled.sampling.temperature = 0.8;
      sampled.sampling.seed = seed;
      sampled.sampling.top_k = i % 2 == 0 ? 20 : 0;
      sampled.sampling.top_p = i % 3 == 0 ? 0.9 : 1;
      sampled.sampling.repetition_penalty = i % 2 == 0 ? 1.3 : 1;
      sampled.sampling.frequency_penalty = i % 3 == 1 ? 0.3 : 0;
      all.push_back(sampled);
    }
    return all;
  }

  static std::vector<SpeculateOptions> speculations() {
    return {{CommitKind::kLoop, 1},
            {CommitKind::kLoop, 2},
            {CommitKind::kGate, 0.4},
            {CommitKind::kMargin, 0.1},
            {CommitKind::kAuto}};
  }

  ScopedIsa isa_{GetParam()};
  TempDir directory_;
  ModelConfig config_ = small_config();
};

TEST_P(EngineTest, ExactExitsGiveTheReferencesTokensInAsManyPassesAsLoops) {
  int64_t early = 0;
  for (uint64_t seed : {1, 2, 3}) {
    const auto model = load(seed);
    const std::vector<int32_t> prompt = random_ids(37, config_.vocab_size, seed + 50);
    for (const GenerateOptions& o : exact_requests(seed)) {
      const Generation g = generate(*model, prompt, o).value();
      const Answer answer = answer_of(g);
      EXPECT_EQ(answer, reference(*model, prompt, o));
      EXPECT_EQ(g.statistics.decode_passes, sum_after_first(answer));
      early += g.mean_loops() < static_cast<double>(config_.loops);
    }
  }
  EXPECT_GT(early, 10) << "hardly a request exited early";
}

TEST_P(EngineTest, SpeculationGivesTheSameTokensInNoMorePasses) {
  int64_t revised = 0, saved = 0;
  for (uint64_t seed : {1, 2, 3}) {
    const auto model = load(seed);
    const std::vector<int32_t> prompt = random_ids(11, config_.vocab_size, seed + 70);
    for (GenerateOptions o : exact_requests(seed)) {
      const Generation plain = generate(*model, prompt, o).value();
      for (const SpeculateOptions& s : speculations()) {
        o.speculate = s;
        const Generation g = generate_on_free_lanes(*model, prompt, o).value();
        ASSERT_EQ(answer_of(g), answer_of(plain));
        for (size_t i = 0; i < g.tokens.size(); ++i) {
          ASSERT_TRUE(
              same_bits({&g.tokens[i].log_probability, 1}, {&plain.tokens[i].log_probability, 1}));
        }
        ASSERT_LE(g.statistics.decode_passes, plain.statistics.decode_passes);
        revised += g.statistics.revised_tokens;
        saved += plain.statistics.decode_passes - g.statistics.decode_passes;
        for (size_t t = 0; t < g.statistics.loop_reads.size(); ++t) {
          EXPECT_LE(g.statistics.loop_agreements[t], g.statistics.loop_reads[t]);
        }
      }
    }
  }
  EXPECT_GT(revised, 100) << "no guess was ever wrong: nothing was tested";
  EXPECT_GT(saved, 100) << "no guess was ever right";
}

TEST_P(EngineTest, AlwaysRightGuessesCostOnePassPerToken) {
  // A bias so large that every loop chooses the same token.
  const auto model = load(1);
  GenerateOptions o = request(20);
  o.sampling.logit_bias = {{7, 1e6}};
  o.speculate = {CommitKind::kLoop, 1};
  const Generation g = generate(*model, random_ids(5, config_.vocab_size, 3), o).value();
  // One position starts per pass, two of them while the prompt's last is in its loops; the last
  // one runs all of its own.
  EXPECT_EQ(g.statistics.decode_passes, 19);
  EXPECT_EQ(g.statistics.revised_tokens, 0);
  EXPECT_EQ(g.statistics.loop_agreements, std::vector<int64_t>(3, 20));
}

// Text that repeats itself: what follows is guessed before any loop has run, several at a time.
TEST_P(EngineTest, RepetitionCostsLessThanAPassPerToken) {
  const auto model = load(1);
  GenerateOptions o = request(60);
  o.sampling.logit_bias = {{7, 1e6}};
  const std::vector<int32_t> prompt = random_ids(5, config_.vocab_size, 3);
  const Answer plain = answer_of(generate(*model, prompt, o).value());
  o.speculate = {CommitKind::kAuto};
  const Generation g = generate_on_free_lanes(*model, prompt, o).value();
  EXPECT_EQ(answer_of(g), plain);
  EXPECT_LT(g.statistics.decode_passes, 30);
  EXPECT_EQ(g.statistics.revised_tokens, 0);
}

// Prompts that repeat themselves lead to guesses of which many are wrong; none changes the text.
TEST_P(EngineTest, GuessesFromTheTextNeverChangeIt) {
  int64_t revised = 0;
  for (uint64_t seed : {1, 2}) {
    const auto model = load(seed);
    std::vector<int32_t> prompt = random_ids(9, config_.vocab_size, seed);
    for (size_t i = 0; i < 27; ++i) prompt.push_back(prompt[i]);
    for (GenerateOptions o : exact_requests(seed)) {
      // Most tokens are the prompt's, so that its suffixes come again.
      for (size_t i = 0; i < 9; ++i) o.sampling.logit_bias[prompt[i]] = 5;
      const Answer plain = answer_of(generate(*model, prompt, o).value());
      o.speculate = {CommitKind::kAuto};
      const Generation g = generate_on_free_lanes(*model, prompt, o).value();
      ASSERT_EQ(answer_of(g), plain);
      revised += g.statistics.revised_tokens;
    }
  }
  EXPECT_GT(revised, 50) << "no guess was ever wrong";
}

// Loop 1 always ranks the right token second.
TEST_P(EngineTest, ASecondBestThatALaterLoopChoosesTakesTheFirstsPlace) {
  const auto model = load(1);
  const std::vector<int32_t> prompt = random_ids(5, config_.vocab_size, 3);
  Request second_is_right;
  second_is_right.replay = [](int64_t index, int64_t loop, int64_t rank, int32_t) {
    const auto right = static_cast<int32_t>(1 + index * 7 % 60);
    return rank == (loop == 1 ? 1 : 0) ? right : right % 60 + 1;
  };
  GenerateOptions o = request(40);
  const Answer plain =
      answer_of(generate_on_free_lanes(*model, prompt, o, second_is_right).value());
  o.speculate = {CommitKind::kLoop, 1};
  const Generation first = generate_on_free_lanes(*model, prompt, o, second_is_right).value();
  EXPECT_EQ(answer_of(first), plain);
  EXPECT_GE(first.statistics.decode_passes, 2 * 39);
  EXPECT_EQ(first.statistics.alternative_tokens, 0);
  o.speculate = {CommitKind::kAuto};
  const Generation both = generate_on_free_lanes(*model, prompt, o, second_is_right).value();
  EXPECT_EQ(answer_of(both), plain);
  // Every token but the last, on which nothing stands.
  EXPECT_EQ(both.statistics.promoted_tokens, 39);
  EXPECT_LE(both.statistics.decode_passes, 39 + config_.loops);
  // Alternatives are read out with the other rows: the head is read once for all.
  Engine engine(*model, {.lane_budget = kMaxLoops});
  second_is_right.prompt = prompt;
  second_is_right.options = o;
  ASSERT_OK(run_request(engine, second_is_right));
  EXPECT_LE(engine.statistics().read_outs, engine.statistics().passes);
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_TRUE(
        same_bits({&both.tokens[i].log_probability, 1}, {&first.tokens[i].log_probability, 1}));
  }
}

// What lanes cost decides how many there are, and nothing else.
TEST_P(EngineTest, MeasuredCostsChangeNoToken) {
  const auto model = load(2);
  const std::vector<int32_t> prompt = random_ids(11, config_.vocab_size, 4);
  std::vector<LaneCosts> all;
  for (const double cost_of_64 : {1.01, 20.0, 64.0}) {
    all.emplace_back(CostCurve({{1, 1}, {64, cost_of_64}}), CostCurve());
  }
  std::vector<int64_t> lanes;
  for (GenerateOptions o : exact_requests(4)) {
    const Answer plain = answer_of(generate(*model, prompt, o).value());
    o.speculate = {CommitKind::kAuto};
    lanes.clear();
    for (const LaneCosts& costs : all) {
      model->parts().lane_costs = costs;
      model->parts().loop_odds = {};
      model->parts().effort = {};
      const Generation g = generate(*model, prompt, o).value();
      ASSERT_EQ(answer_of(g), plain);
      lanes.push_back(g.statistics.provisional_tokens + g.statistics.alternative_tokens);
    }
    EXPECT_GT(lanes[0], 23);
    EXPECT_LE(lanes[1], lanes[0]);
    EXPECT_EQ(lanes[2], 0) << "where a pass of two lanes costs two, none is worth it";
  }
}

// Speculation that brings nothing ends, also where lanes looked cheap enough.
TEST_P(EngineTest, SpeculationIsHeldAgainstWhatPlainDecodingWouldCost) {
  const auto model = load(2);
  EffortChoice& effort = model->parts().effort;
  // Never the same three in a row, which would be guessed from the text.
  const auto right = [](int64_t index) {
    return static_cast<int32_t>(static_cast<uint32_t>(index) * 2654435761u >> 8) % 60;
  };
  const auto run = [&](int64_t right_from_loop, const LaneCosts& costs) {
    model->parts().lane_costs = costs;
    model->parts().loop_odds = {};
    effort = {};
    Request r;
    r.prompt = random_ids(5, config_.vocab_size, 3);
    r.options = request(240);
    r.options.speculate = {CommitKind::kAuto};
    r.replay = [=](int64_t index, int64_t loop, int64_t rank, int32_t) {
      return static_cast<int32_t>(
          (right(index) + (loop < right_from_loop ? 1 + 3 * loop + rank : rank)) % 60 + 1);
    };
    return generate(*model, std::move(r)).value().statistics;
  };
  const LaneCosts free(CostCurve({{1, 1}, {64, 1.001}}), CostCurve({{1, 0.001}, {64, 0.002}}));
  // Each token is right after its first loop.
  GenerateStatistics s = run(1, free);
  EXPECT_NE(effort.now(), Effort::kPlain);
  EXPECT_NEAR(effort.ratio(Effort::kAlternatives), 1.0 / static_cast<double>(config_.loops), 0.02);
  EXPECT_LT(s.decode_passes, 300);
  // All but the last loop are always wrong: nothing is lost where lanes are free, and nothing won.
  s = run(config_.loops, free);
  EXPECT_EQ(s.decode_passes, 239 * config_.loops);
  EXPECT_NEAR(effort.ratio(Effort::kAlternatives), 1, 0.02);
  EXPECT_EQ(effort.now(), Effort::kPlain);
  EXPECT_LT(s.provisional_tokens, 100);
  // Where they are not, it costs something.
  s = run(config_.loops, LaneCosts(CostCurve({{1, 1}, {64, 10}}), CostCurve({{1, 0.1}, {64, 2}})));
  EXPECT_GT(effort.ratio(Effort::kAlternatives), 1.02);
  EXPECT_EQ(effort.now(), Effort::kPlain);
}

// ---- Company

struct Mixed {
  std::vector<int32_t> prompt;
  GenerateOptions options;
};

std::vector<Answer> run_together(Engine& engine, const std::vector<Mixed>& all, bool staggered) {
  std::vector<Answer> answers(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    Request r;
    r.prompt = all[i].prompt;
    r.options = all[i].options;
    r.done = [&answers, i](Generation g) { answers[i] = answer_of(g); };
    EXPECT_OK(engine.submit(std::move(r)));
    if (staggered) {
      for (size_t steps = 0; steps < i % 4; ++steps) engine.step();
    }
  }
  engine.run();
  return answers;
}

TEST_P(EngineTest, EveryRequestGetsTheTokensItGetsAlone) {
  const auto model = load(4);
  std::vector<Mixed> all;
  std::vector<Answer> alone;
  uint64_t seed = 100;
  for (const GenerateOptions& exact : exact_requests(9)) {
    for (const SpeculateOptions& s : {SpeculateOptions{}, speculations()[seed % 5]}) {
      Mixed m = {random_ids(1 + static_cast<int64_t>(seed * 7 % 80), config_.vocab_size, seed),
                 exact};
      m.options.speculate = s;
      all.push_back(m);
      ++seed;
    }
  }
  for (KvPolicy kv : kKvPolicies) {
    GenerateOptions o = request(15);
    o.exit = {ExitKind::kGate, 0.5, 1, 0};
    o.kv = kv;
    all.push_back({random_ids(40, config_.vocab_size, ++seed), o});
    if (kv_planes(kv, config_.loops) > 1) continue;
    o.prompt_kv = PromptKv::kAsDecoded;
    all.push_back({all.back().prompt, o});  // what the one before has kept is not for it
  }
  for (const Mixed& m : all) {
    alone.push_back(answer_of(generate(*model, m.prompt, m.options).value()));
  }
  for (int threads : {1, 2}) {
    const auto company = load(4, threads);
    for (int64_t prompt_lanes : {5, 64}) {
      for (int64_t budget : {8, 1000}) {
        SCOPED_TRACE(
            fmt::format("threads {} prompt lanes {} budget {}", threads, prompt_lanes, budget));
        EngineOptions options;
        options.prompt_lanes = prompt_lanes;
        options.lane_budget = budget;
        Engine engine(*company, options);
        EXPECT_EQ(run_together(engine, all, budget == 8), alone);
        EXPECT_EQ(engine.statistics().running + engine.statistics().waiting, 0);
      }
    }
  }
}

TEST_P(EngineTest, ABudgetOfOneLaneIsPlainFullDepth) {
  const auto model = load(4);
  const std::vector<int32_t> prompt = random_ids(6, config_.vocab_size, 1);
  GenerateOptions o = request(12);
  o.speculate = {CommitKind::kLoop, 1};
  EngineOptions options;
  options.lane_budget = 1;
  Engine engine(*model, options);
  Generation g;
  EXPECT_OK(engine.submit({prompt, o, {}, [&](Generation got) { g = std::move(got); }}));
  engine.run();
  EXPECT_EQ(g.statistics.provisional_tokens, 0);
  EXPECT_EQ(g.statistics.decode_passes, 11 * config_.loops);
}

// ---- Memory

TEST_P(EngineTest, ASharedPrefixIsComputedAndStoredOnce) {
  for (KvPolicy kv : kKvPolicies) {
    SCOPED_TRACE(kv_policy_name(kv));
    const auto model = load(5);
    std::vector<int32_t> prefix = random_ids(100, config_.vocab_size, 8);
    std::vector<Mixed> all;
    std::vector<Answer> alone;
    for (uint64_t i = 0; i < 6; ++i) {
      Mixed m = {prefix, request(10)};
      // One that ends within the prefix, one that is the prefix, and others that go on.
      if (i == 1) m.prompt.resize(64);
      for (int32_t id :
           random_ids(static_cast<int64_t>(i > 2 ? i * 9 : 0), config_.vocab_size, i)) {
        m.prompt.push_back(id);
      }
      m.options.kv = kv;
      m.options.exit = {ExitKind::kGate, 0.6, 1, i == 4 ? 2 : 0};
      alone.push_back(answer_of(generate(*model, m.prompt, m.options).value()));
      all.push_back(std::move(m));
    }
    EngineOptions options;
    Engine engine(*model, options);
    const Mixed first = all[0];
    EXPECT_EQ(run_together(engine, {first}, false)[0], alone[0]);
    const uint64_t kept = engine.statistics().kv_bytes;
    EXPECT_EQ(kept, 3u * 3 * 3 * model->parts().pages.page_bytes());  // 96 tokens, loops, layers
    EXPECT_EQ(run_together(engine, all, false), alone);
    // 64 tokens: the page with its last position is not adopted, because that position must run.
    EXPECT_EQ(engine.statistics().cached_prompt_tokens, 5 * 96 + 32);
  }
}

TEST_P(EngineTest, KeptPrefixesStayWithinTheirBytes) {
  const auto model = load(6);
  EngineOptions options;
  options.prefix_bytes = 2 * 9 * model->parts().pages.page_bytes();  // two pages per plane
  Engine engine(*model, options);
  for (uint64_t i = 0; i < 6; ++i) {
    run_together(engine, {{random_ids(70, config_.vocab_size, i), request(3)}}, false);
    EXPECT_LE(engine.statistics().kv_bytes, options.prefix_bytes);
  }
  EXPECT_GT(engine.statistics().kv_bytes, 0u);
}

TEST_P(EngineTest, CallbacksMaySubmitAndCancel) {
  const auto model = load(6);
  const std::vector<int32_t> prompt = random_ids(9, config_.vocab_size, 1);
  const Answer whole = answer_of(generate(*model, prompt, request(10)).value());
  Engine engine(*model);
  Answer later;
  Generation other;
  int64_t victim = 0;
  GenerateCallbacks callbacks;
  callbacks.token = [&](const GeneratedToken&) {
    engine.cancel(victim);
    return true;
  };
  Request first = {prompt, request(10), callbacks, {}};
  first.done = [&](Generation g) {
    EXPECT_EQ(answer_of(g), whole);
    EXPECT_OK(
        engine.submit({prompt, request(10), {}, [&](Generation n) { later = answer_of(n); }}));
  };
  ASSERT_TRUE(engine.submit(std::move(first)).ok());
  victim =
      engine.submit({prompt, request(10), {}, [&](Generation g) { other = std::move(g); }}).value();
  engine.run();
  EXPECT_EQ(later, whole);
  EXPECT_EQ(other.finish_reason, FinishReason::kCancelled);
}

TEST_P(EngineTest, ARequestMayCancelItselfAndItsSiblings) {
  const auto model = load(6);
  const std::vector<int32_t> prompt = random_ids(9, config_.vocab_size, 1);
  Engine engine(*model);
  std::map<int, Generation> ended;
  std::vector<int64_t> ids(4);
  for (int i = 0; i < 4; ++i) {
    Request r = {prompt, request(10), {}, {}};
    if (i == 3) {
      r.callbacks.token = [&](const GeneratedToken&) {
        engine.cancel(ids[3]);
        return true;
      };
    }
    r.done = [&ended, &engine, &ids, i](Generation g) {
      ended[i] = std::move(g);
      if (i == 1) engine.cancel(ids[0]);
    };
    ids[static_cast<size_t>(i)] = engine.submit(std::move(r)).value();
  }
  for (int i = 0; i < 7; ++i) engine.step();
  engine.cancel(ids[1]);
  engine.run();
  ASSERT_EQ(ended.size(), 4u);
  EXPECT_EQ(ended[3].tokens.size(), 1u);
  for (int i : {0, 1, 3}) EXPECT_EQ(ended[i].finish_reason, FinishReason::kCancelled) << i;
  EXPECT_EQ(ended[2].tokens.size(), 10u);
}

TEST_P(EngineTest, RequestsWaitForRoomAndPrefixesMakeWay) {
  const auto model = load(6);
  const uint64_t page = model->parts().pages.page_bytes();
  std::vector<Mixed> all;
  std::vector<Answer> alone;
  for (uint64_t i = 0; i < 5; ++i) {
    Mixed m = {random_ids(40, config_.vocab_size, i), request(20)};
    alone.push_back(answer_of(generate(*model, m.prompt, m.options).value()));
    all.push_back(std::move(m));
  }
  EngineOptions options;
  options.kv_bytes = 2 * 2 * 9 * page;  // two requests of two pages per plane
  Engine engine(*model, options);
  std::vector<Answer> answers(5);
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_OK(engine.submit({all[i].prompt, all[i].options, {}, [&answers, i](Generation g) {
                               answers[i] = answer_of(g);
                             }}));
  }
  int64_t most_running = 0;
  while (engine.step()) {
    const EngineStatistics s = engine.statistics();
    most_running = std::max(most_running, s.running);
    ASSERT_LE(s.kv_bytes, options.kv_bytes);
  }
  EXPECT_EQ(answers, alone);
  EXPECT_EQ(most_running, 2);
  const std::vector<int32_t> longer = random_ids(150, config_.vocab_size, 1);
  const std::string limit = fmt::format("at most {}", options.kv_bytes);
  EXPECT_ERROR_SAYS(engine.submit({longer, request(20), {}, {}}), "150 tokens and 20 more",
                    limit.c_str());
}

TEST_P(EngineTest, SmallerKeysAndValuesKeepEveryContract) {
  for (KvType kv : {KvType::kBf16, KvType::kInt8}) {
    SCOPED_TRACE(kv_type_name(kv));
    const auto model = load(2, 1, kv);
    const std::vector<int32_t> prompt = random_ids(37, config_.vocab_size, 5);
    for (GenerateOptions o : exact_requests(5)) {
      const Answer plain = answer_of(generate(*model, prompt, o).value());
      EXPECT_EQ(plain, reference(*model, prompt, o));
      o.speculate = {CommitKind::kLoop, 1};
      o.prompt_chunk = 3;
      EXPECT_EQ(answer_of(generate(*model, prompt, o).value()), plain);
    }
  }
}

TEST_P(EngineTest, Bf16WeightsToo) {
  const auto model = load(3, 2, KvType::kBf16, WeightType::kBf16);
  const std::vector<int32_t> prompt = random_ids(20, config_.vocab_size, 5);
  for (GenerateOptions o : exact_requests(6)) {
    const Answer plain = answer_of(generate(*model, prompt, o).value());
    EXPECT_EQ(plain, reference(*model, prompt, o));
    o.speculate = {CommitKind::kLoop, 1};
    EXPECT_EQ(answer_of(generate(*model, prompt, o).value()), plain);
  }
}

// ---- Callbacks

TEST_P(EngineTest, ScreeningSeesEveryProposalBeforeItIsCommitted) {
  const auto model = load(2);
  const std::vector<int32_t> prompt = random_ids(9, config_.vocab_size, 5);
  GenerateOptions o = request(30);
  o.speculate = {CommitKind::kLoop, 1};
  std::vector<int32_t> shown, reported;
  int64_t revisions = 0;
  GenerateCallbacks callbacks;
  callbacks.screen = [&](const ProvisionalToken& t) {
    EXPECT_GE(t.index, static_cast<int64_t>(reported.size())) << "a final token was revised";
    EXPECT_LE(t.index, static_cast<int64_t>(shown.size()));
    EXPECT_EQ(t.revision, t.index < static_cast<int64_t>(shown.size()) &&
                              shown[static_cast<size_t>(t.index)] != t.id);
    if (t.index == static_cast<int64_t>(shown.size()) ||
        shown[static_cast<size_t>(t.index)] != t.id) {
      shown.resize(static_cast<size_t>(t.index));
      shown.push_back(t.id);
    }
    revisions += t.revision;
    return true;
  };
  callbacks.token = [&](const GeneratedToken& t) {
    EXPECT_GT(shown.size(), reported.size()) << "a token was final before it was shown";
    EXPECT_EQ(shown[reported.size()], t.id);
    reported.push_back(t.id);
    return true;
  };
  const Generation g = generate(*model, prompt, o, callbacks).value();
  EXPECT_EQ(reported, answer_of(g).ids);
  EXPECT_GT(revisions, 0);
}

TEST_P(EngineTest, ScreeningStopsBeforeTheTokenIsCommitted) {
  const auto model = load(2);
  const std::vector<int32_t> prompt = random_ids(9, config_.vocab_size, 5);
  for (const SpeculateOptions& s : {SpeculateOptions{}, SpeculateOptions{CommitKind::kLoop, 1}}) {
    GenerateOptions o = request(30);
    const Answer whole = answer_of(generate(*model, prompt, o).value());
    o.speculate = s;
    const int32_t banned = whole.ids[8];
    GenerateCallbacks callbacks;
    callbacks.screen = [&](const ProvisionalToken& t) { return t.id != banned; };
    const Generation g = generate(*model, prompt, o, callbacks).value();
    EXPECT_EQ(g.finish_reason, FinishReason::kCancelled);
    const Answer before = answer_of(g);
    ASSERT_LE(before.ids.size(), 8u);
    EXPECT_TRUE(std::equal(before.ids.begin(), before.ids.end(), whole.ids.begin()));
    EXPECT_EQ(std::count(before.ids.begin(), before.ids.end(), banned), 0);
  }
}

TEST_P(EngineTest, CancellingOneLeavesTheOthers) {
  const auto model = load(4);
  GenerateOptions o = request(30);
  const std::vector<int32_t> prompt = random_ids(9, config_.vocab_size, 5);
  const Answer whole = answer_of(generate(*model, prompt, o).value());
  Engine engine(*model);
  std::map<int, Generation> ended;
  std::vector<int64_t> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(
        engine.submit({prompt, o, {}, [&ended, i](Generation g) { ended[i] = std::move(g); }})
            .value());
  }
  for (int i = 0; i < 12; ++i) engine.step();
  engine.cancel(ids[1]);
  engine.cancel(12345);
  engine.run();
  ASSERT_EQ(ended.size(), 3u);
  EXPECT_EQ(answer_of(ended[0]), whole);
  EXPECT_EQ(answer_of(ended[2]), whole);
  EXPECT_EQ(ended[1].finish_reason, FinishReason::kCancelled);
  EXPECT_LT(ended[1].tokens.size(), 30u);
}

TEST_P(EngineTest, WrongSpeculationIsNamed) {
  const auto model = load(4);
  const std::vector<int32_t> prompt = {1, 2};
  const auto with = [&](SpeculateOptions s, KvPolicy kv = KvPolicy::kFull) {
    GenerateOptions o = request(3);
    o.speculate = s;
    o.kv = kv;
    return generate(*model, prompt, o);
  };
  EXPECT_ERROR_SAYS(with({CommitKind::kLoop, 0}), "speculate from is 0", "1 to 3");
  EXPECT_ERROR_SAYS(with({CommitKind::kLoop, 4}), "speculate from is 4", "1 to 3");
  EXPECT_ERROR_SAYS(with({CommitKind::kLoop, 1.5}), "1.5");
  EXPECT_ERROR_SAYS(with({CommitKind::kGate, 2}), "is 2", "between 0 and 1");
  EXPECT_ERROR_SAYS(with({CommitKind::kMargin, NAN}), "nan");
  EXPECT_ERROR_SAYS(with({CommitKind::kAuto, 2}), "the threshold 2", "takes none");
  EXPECT_ERROR_SAYS(with({CommitKind::kLoop, 1}, KvPolicy::kLast), "KV policy is last", "full");
}

INSTANTIATE_TEST_SUITE_P(Isa, EngineTest, testing::ValuesIn(available_isas()), isa_parameter_name);

}  // namespace
}  // namespace looplm

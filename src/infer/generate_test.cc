// Whole requests: what must come out is held by golden_test.cc; here are the laws around it.
#include "looplm/generate.h"

#include <algorithm>
#include <cmath>

#include "looplm/engine.h"

#include "infer/test_model.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class Generate : public testing::Test {
 protected:
  std::unique_ptr<Model> load(int threads = 1, WeightType weights = WeightType::kAsStored) {
    write_test_checkpoint(directory_.file("model"), parameters_, config_);
    ModelOptions options;
    options.threads = threads;
    options.weights = weights;
    return std::move(Model::load(directory_.file("model"), options)).value();
  }

  // A request whose tokens do not end early.
  static GenerateOptions request(int64_t tokens) {
    GenerateOptions o;
    o.max_tokens = tokens;
    o.ignore_eos = true;
    return o;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  ParameterSet parameters_ = random_parameters(config_, 21);
  std::vector<int32_t> prompt_ = random_ids(45, config_.vocab_size, 22);
};

std::vector<int32_t> ids_of(const Generation& g) {
  std::vector<int32_t> ids;
  for (const GeneratedToken& token : g.tokens) ids.push_back(token.id);
  return ids;
}

std::vector<int64_t> loops_of(const Generation& g) {
  std::vector<int64_t> loops;
  for (const GeneratedToken& token : g.tokens) loops.push_back(token.loops);
  return loops;
}

void expect_same(const Generation& a, const Generation& b) {
  EXPECT_EQ(ids_of(a), ids_of(b));
  EXPECT_EQ(loops_of(a), loops_of(b));
  for (size_t i = 0; i < std::min(a.tokens.size(), b.tokens.size()); ++i) {
    EXPECT_TRUE(same_bits({&a.tokens[i].log_probability, 1}, {&b.tokens[i].log_probability, 1}));
  }
}

TEST_F(Generate, SeedAloneDecidesWhateverThreadsAndChunks) {
  GenerateOptions o = request(30);
  o.exit.kind = ExitKind::kGate;
  o.exit.threshold = 0.6;
  o.sampling.temperature = 0.9;
  o.sampling.top_k = 30;
  o.sampling.top_p = 0.95;
  o.sampling.min_p = 0.01;
  o.sampling.repetition_penalty = 1.2;
  o.sampling.presence_penalty = 0.2;
  o.sampling.frequency_penalty = 0.1;
  o.sampling.logit_bias = {{5, 1.0}, {6, -2.0}};
  o.sampling.seed = 99;
  for (WeightType weights : {WeightType::kF32, WeightType::kBf16}) {
    const auto one = load(1, weights);
    const Generation expected = generate(*one, prompt_, o).value();
    for (int threads : {2, 3}) {
      const auto model = load(threads, weights);
      for (int64_t chunk : {1, 3, 256}) {
        o.prompt_chunk = chunk;
        expect_same(generate(*model, prompt_, o).value(), expected);
      }
    }
    o.sampling.seed = 100;
    EXPECT_NE(ids_of(generate(*one, prompt_, o).value()), ids_of(expected));
    o.sampling.seed = 99;
  }
}

TEST_F(Generate, AFullCacheMakesExitsExact) {
  // The same text read as a prompt gives the same next token at every exit.
  const auto model = load();
  GenerateOptions o = request(25);
  o.exit.kind = ExitKind::kGate;
  o.exit.threshold = 0.6;
  const Generation g = generate(*model, prompt_, o).value();
  std::vector<int32_t> text = prompt_;
  o.max_tokens = 1;
  int64_t early = 0;
  for (const GeneratedToken& token : g.tokens) {
    const Generation next = generate(*model, text, o).value();
    EXPECT_EQ(next.tokens[0].id, token.id);
    EXPECT_EQ(next.tokens[0].loops, token.loops);
    early += token.loops < config_.loops;
    text.push_back(token.id);
  }
  EXPECT_GT(early, 0);
  EXPECT_LT(early, 25);
}

TEST_F(Generate, ASaturatedGateExitsAtOnceUnlessTheThresholdIsOne) {
  *parameters_.find(kGateBiasName) = 100;
  const auto model = load();
  GenerateOptions o = request(8);
  o.exit.kind = ExitKind::kGate;
  for (KvPolicy kv : {KvPolicy::kFull, KvPolicy::kLastExited}) {
    o.kv = kv;
    o.exit.threshold = 1;
    EXPECT_EQ(generate(*model, prompt_, o).value().mean_loops(), config_.loops);
    o.exit.threshold = 0.99;
    EXPECT_EQ(generate(*model, prompt_, o).value().mean_loops(), 1);
    o.exit.min_loops = 2;
    EXPECT_EQ(generate(*model, prompt_, o).value().mean_loops(), 2);
    o.exit.min_loops = 1;
  }
}

TEST_F(Generate, LoopsStayWithinTheirBounds) {
  const auto model = load();
  for (int64_t most : {1, 2, 3, 7}) {  // trained for three
    GenerateOptions o = request(6);
    o.exit.max_loops = most;
    const Generation fixed = generate(*model, prompt_, o).value();
    EXPECT_EQ(loops_of(fixed), std::vector<int64_t>(6, most));
    EXPECT_EQ(fixed.statistics.decode_passes, 5 * most);
    o.exit.kind = ExitKind::kHiddenDifference;
    o.exit.threshold = 1e9;  // always enough from the second loop on
    for (int64_t least = 1; least <= most; ++least) {
      o.exit.min_loops = least;
      const int64_t expected = std::min(most, std::max<int64_t>(2, least));
      EXPECT_EQ(loops_of(generate(*model, prompt_, o).value()), std::vector<int64_t>(6, expected));
    }
    // A rule that never fires is the fixed rule.
    o.exit.threshold = 0;
    o.exit.min_loops = 1;
    expect_same(generate(*model, prompt_, o).value(), fixed);
  }
}

TEST_F(Generate, StopsAtEndOfTextAndStopIds) {
  const auto model = load();
  GenerateOptions o = request(20);
  const std::vector<int32_t> all = ids_of(generate(*model, prompt_, o).value());
  ASSERT_EQ(all.size(), 20u);
  const int32_t stop = all[7];
  const auto first = static_cast<size_t>(std::find(all.begin(), all.end(), stop) - all.begin());
  o.stop_ids = {stop};
  const Generation stopped = generate(*model, prompt_, o).value();
  EXPECT_EQ(ids_of(stopped), std::vector<int32_t>(all.begin(), all.begin() + first + 1));
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);

  config_.eos_token_ids = {1, stop};
  const auto with_eos = load();
  o.stop_ids.clear();
  EXPECT_EQ(ids_of(generate(*with_eos, prompt_, o).value()), all);  // ignore_eos
  o.ignore_eos = false;
  EXPECT_EQ(ids_of(generate(*with_eos, prompt_, o).value()), ids_of(stopped));
}

class GenerateText : public Generate {
 protected:
  GenerateText() {
    config_.vocab_size = 270;
    config_.eos_token_ids = {0};
    parameters_ = random_parameters(config_, 51);
    make_model();
  }

  void make_model() {
    write_test_checkpoint(directory_.file("model"), parameters_, config_);
    write_byte_tokenizer(directory_.file("model"), 13);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
  }

  // Letters and spaces are likely, other bytes come in between.
  GenerateOptions request(int64_t tokens, uint64_t seed) const {
    GenerateOptions o = Generate::request(tokens);
    o.sampling.temperature = 1;
    o.sampling.seed = seed;
    for (int32_t id = 0; id < 270; ++id) {
      const std::string_view bytes = model_->tokenizer()->bytes(id);
      const bool word = !bytes.empty() && bytes.find_first_not_of("abcdeht ") == bytes.npos;
      o.sampling.logit_bias[id] = word ? 6 : 0;
    }
    return o;
  }

  std::unique_ptr<Model> model_;
  std::vector<int32_t> text_prompt_ = {80, 90, 100};
};

std::string joined(const Generation& g) {
  std::string text;
  for (const GeneratedToken& token : g.tokens) text += token.text;
  return text;
}

TEST_F(GenerateText, PiecesJoinToTheDecodedTokens) {
  int held = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    GenerateOptions o = request(60, seed);
    if (seed % 2 == 0) o.sampling.logit_bias.clear();  // mostly broken characters
    std::string streamed;
    const Generation g = generate(*model_, text_prompt_, o, [&](const GeneratedToken& token) {
                           streamed += token.text;
                           held += token.text.empty();
                           return true;
                         }).value();
    EXPECT_EQ(g.text, model_->tokenizer()->decode(ids_of(g)));
    EXPECT_EQ(joined(g), g.text);
    EXPECT_EQ(streamed, g.text);
  }
  EXPECT_GT(held, 10) << "no token ever waited for the rest of its character";
}

TEST_F(GenerateText, StopStringsCutWhereverTokensEnd) {
  int across = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    GenerateOptions o = request(60, seed);
    const Generation all = generate(*model_, text_prompt_, o).value();
    for (size_t at = 5; at + 3 <= all.text.size(); at += 7) {
      const std::string stop = all.text.substr(at, 3);
      if (stop.find_first_not_of("abcdeht ") != stop.npos) continue;
      o.stop_strings = {"never seen", stop};
      const Generation g = generate(*model_, text_prompt_, o).value();
      const std::string expected = all.text.substr(0, all.text.find(stop));
      EXPECT_EQ(g.text, expected);
      EXPECT_EQ(joined(g), expected);
      EXPECT_EQ(g.finish_reason, FinishReason::kStop);
      // It ended with the token that made the stop string complete.
      ASSERT_LE(g.tokens.size(), all.tokens.size());
      const std::vector<int32_t> ids = ids_of(g);
      EXPECT_TRUE(std::equal(ids.begin(), ids.end(), ids_of(all).begin()));
      EXPECT_NE(model_->tokenizer()->decode(ids).find(stop), std::string::npos);
      EXPECT_EQ(model_->tokenizer()->decode({ids.data(), ids.size() - 1}).find(stop),
                std::string::npos);
      across += model_->tokenizer()->bytes(ids.back()).size() < stop.size();
    }
  }
  EXPECT_GT(across, 20) << "no stop string lay across tokens";
}

TEST_F(GenerateText, ACancelledRequestsTextIsThatOfItsTokens) {
  int held = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    GenerateOptions o = request(40, seed);
    if (seed % 2 == 0) o.sampling.logit_bias.clear();  // mostly broken characters
    o.stop_strings = {"aQQQQ", "e QQQQ"};              // their beginnings are held back
    for (size_t last = 1; last <= 40; ++last) {
      size_t seen = 0;
      const Generation g = generate(*model_, text_prompt_, o, [&](const GeneratedToken&) {
                             return ++seen < last;
                           }).value();
      EXPECT_EQ(g.finish_reason, FinishReason::kCancelled);
      EXPECT_EQ(g.tokens.size(), last);
      EXPECT_EQ(g.text, model_->tokenizer()->decode(ids_of(g)));
      held += joined(g) != g.text;
    }
  }
  EXPECT_GT(held, 10) << "no text was held back when a request was cancelled";
}

TEST_F(GenerateText, StopStringsCanHoldASpecialToken) {
  const Tokenizer& tokenizer = *model_->tokenizer();
  ASSERT_TRUE(tokenizer.is_special(0));
  int across = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    GenerateOptions o = request(60, seed);
    o.sampling.logit_bias[0] = 8;
    const Generation all = generate(*model_, text_prompt_, o).value();
    const std::vector<int32_t> ids = ids_of(all);
    for (size_t at = 0; at + 1 < ids.size(); ++at) {
      const std::string_view next = tokenizer.bytes(ids[at + 1]);
      if (ids[at] != 0 || next.find_first_not_of("abcdeht ") != next.npos) continue;
      o.stop_strings = {std::string(tokenizer.bytes(0)) + std::string(next.substr(0, 1))};
      const Generation g = generate(*model_, text_prompt_, o).value();
      EXPECT_EQ(g.finish_reason, FinishReason::kStop);
      ASSERT_LE(g.tokens.size(), at + 2);
      const std::string whole = tokenizer.decode(ids_of(g), /*skip_special=*/false);
      std::string before = whole.substr(0, whole.find(o.stop_strings[0]));
      EXPECT_NE(before, whole);
      const std::string special(tokenizer.bytes(0));
      for (size_t i; (i = before.find(special)) != before.npos;) before.erase(i, special.size());
      EXPECT_EQ(g.text, before);
      EXPECT_EQ(joined(g), g.text);
      ++across;
    }
  }
  EXPECT_GT(across, 5) << "no text followed a special token";
}

TEST_F(GenerateText, AStoppingIdHasNoTextOfItsOwn) {
  GenerateOptions o = request(60, 3);
  const std::vector<int32_t> all = ids_of(generate(*model_, text_prompt_, o).value());
  // The first id that is new where it stands, behind a letter.
  const auto fits = [&](size_t at) {
    const std::vector<int32_t> before(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at));
    const std::string text = model_->tokenizer()->decode(before);
    return std::find(before.begin(), before.end(), all[at]) == before.end() && !text.empty() &&
           text.back() >= ' ' && text.back() <= '~';
  };
  size_t at = 1;
  while (at + 1 < all.size() && !fits(at)) ++at;
  o.stop_ids = {all[at]};
  const Generation g = generate(*model_, text_prompt_, o).value();
  std::vector<int32_t> before = ids_of(g);
  ASSERT_EQ(before.size(), at + 1);
  before.pop_back();
  EXPECT_EQ(g.text, model_->tokenizer()->decode(before));
  ASSERT_FALSE(g.text.empty());
  // The last character could begin this stop string, so it waits until the stopping id has come.
  o.stop_strings = {g.text.substr(g.text.size() - 1) + "never seen"};
  EXPECT_EQ(generate(*model_, text_prompt_, o).value().text, g.text);
}

TEST_F(Generate, TheCallbackSeesEveryTokenAndCanStop) {
  const auto model = load();
  std::vector<int32_t> seen;
  const auto until_three = [&](const GeneratedToken& token) {
    seen.push_back(token.id);
    return seen.size() < 3;
  };
  const Generation g = generate(*model, prompt_, request(10), until_three).value();
  EXPECT_EQ(g.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(ids_of(g), seen);
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(Generate, StatisticsCountWhatRan) {
  const auto model = load();
  for (KvPolicy kv : kKvPolicies) {
    GenerateOptions o = request(20);  // 45 + 19 positions: two pages per plane
    o.kv = kv;
    const GenerateStatistics s = generate(*model, prompt_, o).value().statistics;
    EXPECT_EQ(s.prompt_tokens, 45);
    EXPECT_EQ(s.decode_passes, 19 * config_.loops);
    const uint64_t planes = static_cast<uint64_t>(kv_planes(kv, config_.loops) * config_.layers);
    EXPECT_EQ(s.kv_bytes, planes * 2 * model->parts().pages.page_bytes());
    EXPECT_EQ(model->parts().pages.pages_in_use(), 0) << "a request kept pages";
  }
}

TEST_F(Generate, NoTokensAskedForAreNone) {
  const auto model = load();
  const Generation g = generate(*model, prompt_, request(0)).value();
  EXPECT_TRUE(g.tokens.empty());
  EXPECT_EQ(g.finish_reason, FinishReason::kLength);
  EXPECT_TRUE(std::isnan(g.mean_loops()));
}

TEST_F(Generate, APromptReadAsDecodedIsOneThatWasDecoded) {
  // Decoding from the prompt's first token, with the other prompt tokens put in place of those
  // chosen, leaves the same keys and values: the first position sees itself alone either way.
  const auto model = load();
  const int64_t forced = static_cast<int64_t>(prompt_.size()) - 1;
  for (KvPolicy kv : {KvPolicy::kLast, KvPolicy::kMean, KvPolicy::kFirst}) {
    SCOPED_TRACE(kv_policy_name(kv));
    GenerateOptions o = request(12);
    o.kv = kv;
    const Generation by_loops = generate(*model, prompt_, o).value();
    o.prompt_kv = PromptKv::kAsDecoded;
    const Generation as_decoded = generate(*model, prompt_, o).value();
    EXPECT_EQ(as_decoded.statistics.passes, (forced + 12) * config_.loops);
    EXPECT_NE(ids_of(as_decoded), ids_of(by_loops));

    Generation decoded;
    Request r;
    r.prompt = {prompt_[0]};
    r.options = request(forced + 12);
    r.options.kv = kv;
    r.done = [&](Generation g) { decoded = std::move(g); };
    r.replay = [&](int64_t index, int64_t, int64_t, int32_t token) {
      return index < forced ? prompt_[static_cast<size_t>(index) + 1] : token;
    };
    Engine engine(*model);
    ASSERT_OK(engine.submit(std::move(r)));
    engine.run();
    decoded.tokens.erase(decoded.tokens.begin(), decoded.tokens.begin() + forced);
    expect_same(as_decoded, decoded);
  }
}

TEST_F(Generate, WrongRequestsAreNamed) {
  const auto model = load();
  const auto with = [&](auto change) {
    GenerateOptions o = request(5);
    change(o);
    return generate(*model, prompt_, o);
  };
  EXPECT_ERROR_SAYS(generate(*model, {}, request(5)), "prompt is empty");
  const std::vector<int32_t> high = {1, 61}, low = {-1};
  EXPECT_ERROR_SAYS(generate(*model, high, request(5)), "token 1 is 61", "0 to 60");
  EXPECT_ERROR_SAYS(generate(*model, low, request(5)), "token 0 is -1", "0 to 60");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.max_tokens = 212; }), "45", "212", "256 positions");
  EXPECT_OK(with([](auto& o) { o.max_tokens = 211; }));
  EXPECT_ERROR_SAYS(with([](auto& o) { o.max_tokens = -1; }), "max_tokens is -1");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.exit.max_loops = -2; }), "max_loops is -2", "1 to 256");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.exit.max_loops = 257; }), "max_loops is 257");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.exit.min_loops = 4; }), "min_loops is 4", "1 to 3");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.exit.min_loops = 0; }), "min_loops is 0", "1 to 3");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.prompt_chunk = 0; }), "prompt_chunk is 0");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.prompt_kv = PromptKv::kAsDecoded; }), "one plane", "full");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.sampling.top_p = 2; }), "top_p is 2");
  EXPECT_ERROR_SAYS(with([](auto& o) { o.stop_strings = {"x"}; }), "stop strings", "tokenizer");
  EXPECT_ERROR_SAYS(with([](auto& o) {
                      o.exit.kind = ExitKind::kGate;
                      o.exit.threshold = 2;
                    }),
                    "gate", "2");
  ModelConfig gateless = config_;
  gateless.exit_gate = false;
  parameters_ = random_parameters(gateless, 1);
  config_ = gateless;
  const auto plain = load();
  GenerateOptions o = request(5);
  o.read_out = ReadOut::kWeighted;
  EXPECT_ERROR_SAYS(generate(*plain, prompt_, o), "no exit gate to weight");
  o = request(5);
  o.exit.kind = ExitKind::kGate;
  EXPECT_ERROR_SAYS(generate(*plain, prompt_, o), "no exit gate to exit by");
}

TEST_F(Generate, ModelsThatCannotBeLoadedSayWhy) {
  EXPECT_ERROR_SAYS(Model::load(directory_.file("nowhere")), "nowhere");
  parameters_.find(kFinalNormName)[3] = NAN;
  write_test_checkpoint(directory_.file("model"), parameters_, config_);
  EXPECT_ERROR_SAYS(Model::load(directory_.file("model")), kFinalNormName);
}

}  // namespace
}  // namespace looplm

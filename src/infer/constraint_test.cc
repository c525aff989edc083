// A toy grammar in every mode: what comes out obeys it, and is what choosing among the allowed
// tokens at full depth, one position after the other, would have chosen.
#include "looplm/constraint.h"

#include <cmath>
#include <set>

#include <fmt/format.h>

#include "infer/sampler.h"
#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

class Constraints : public testing::Test {
 protected:
  Constraints() {
    write_test_checkpoint(directory_.file("model"), random_parameters(config_, 8), config_);
    ModelOptions options;
    options.threads = 1;
    model_ = std::move(Model::load(directory_.file("model"), options)).value();
  }

  // All loops of each position, and only then a read-out among the tokens that may come.
  std::string reference(std::span<const int32_t> prompt, const GenerateOptions& o) {
    PassRunner& runner = *model_->parts().runner;
    const int64_t loops = o.exit.max_loops == 0 ? config_.loops : o.exit.max_loops;
    PositionReader reader(config_, make_exit_rule(o.exit, config_.exit_gate).value(), o.read_out,
                          o.exit.min_loops, loops);
    Sampler sampler(o.sampling, prompt);
    Sequence sequence(runner, model_->parts().pages, loops, KvPolicy::kFull);
    EXPECT_OK(sequence.read_prompt(prompt.first(prompt.size() - 1), 256, {}));
    ToyGrammar grammar;
    Generation g;
    int32_t last = prompt.back();
    while (static_cast<int64_t>(g.tokens.size()) < o.max_tokens && !grammar.finished()) {
      sequence.extend(last, reader);
      const std::span<const float> raw = {reader.logits(), static_cast<size_t>(config_.vocab_size)};
      std::vector<uint32_t> allowed(static_cast<size_t>(config_.vocab_size + 31) / 32, ~0u);
      grammar.mask(allowed);
      std::vector<float> masked(raw.begin(), raw.end());
      for (size_t i = 0; i < masked.size(); ++i) {
        if (!allows(allowed, static_cast<int32_t>(i))) masked[i] = -1e30f;
      }
      const LogitSummary summary = summarize(masked);
      TokenChoice choice = {.sampler = &sampler,
                            .logits = masked.data(),
                            .summary = &summary,
                            .position = sequence.length()};
      choose_tokens({&choice, 1}, config_.vocab_size, runner.device());
      last = choice.token;
      sampler.accept(last);
      grammar.accept(last);
      GeneratedToken token;
      token.id = last;
      token.loops = reader.loops();
      // Of the raw logits.
      token.log_probability = summarize(raw).log_probability(raw[static_cast<size_t>(last)]);
      g.tokens.push_back(token);
    }
    g.finish_reason = grammar.finished() ? FinishReason::kStop : FinishReason::kLength;
    return answer_text(g);
  }

  std::vector<GenerateOptions> modes() const {
    GenerateOptions o;
    o.max_tokens = 40;
    o.ignore_eos = true;
    std::vector<GenerateOptions> all = {o};
    o.exit = {ExitKind::kGate, 0.55, 1, 0};
    all.push_back(o);
    o.exit = {ExitKind::kMargin, 0.2, 1, 4};
    all.push_back(o);
    o.exit = {};
    o.read_out = ReadOut::kWeighted;
    all.push_back(o);
    const size_t greedy = all.size();
    for (size_t i = 0; i < greedy; ++i) {
      GenerateOptions sampled = all[i];
      sampled.sampling.temperature = 1;
      sampled.sampling.seed = i;
      sampled.sampling.top_k = i % 2 == 0 ? 20 : 0;
      sampled.sampling.top_p = i % 3 == 0 ? 0.9 : 1;
      sampled.sampling.repetition_penalty = i % 2 == 1 ? 1.2 : 1;
      all.push_back(sampled);
    }
    return all;
  }

  Request request(const GenerateOptions& o, uint64_t seed) {
    Request r;
    r.prompt = random_ids(20, config_.vocab_size, seed);
    r.options = o;
    r.constraint = std::make_shared<ToyGrammar>();
    return r;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  std::unique_ptr<Model> model_;
};

TEST_F(Constraints, EveryExactModeChoosesAmongTheAllowed) {
  int64_t taken_back = 0, ended = 0;
  const std::vector<GenerateOptions> all = modes();
  for (const GenerateOptions& mode : all) {
    for (uint64_t seed = 0; seed < 3; ++seed) {
      SCOPED_TRACE(fmt::format("mode {} seed {}", &mode - all.data(), seed));
      const std::string expected = reference(random_ids(20, config_.vocab_size, seed), mode);
      for (const SpeculateOptions& s :
           {SpeculateOptions{}, SpeculateOptions{CommitKind::kLoop, 1},
            SpeculateOptions{CommitKind::kGate, 0.4}, SpeculateOptions{CommitKind::kMargin, 0.1},
            SpeculateOptions{CommitKind::kAuto}}) {
        Request r = request(mode, seed);
        r.options.speculate = s;
        const auto grammar = std::static_pointer_cast<ToyGrammar>(r.constraint);
        Generation g = generate(*model_, std::move(r)).value();
        for (GeneratedToken& t : g.tokens) t.proposals.clear();
        ASSERT_EQ(answer_text(g), expected) << static_cast<int>(s.kind);
        taken_back += grammar->forgotten();
        ended += g.finish_reason == FinishReason::kStop;
      }
    }
  }
  EXPECT_GT(taken_back, 50) << "no constraint ever had to forget: speculation was not tested";
  EXPECT_GT(ended, 5) << "no text came to the grammar's end";
}

TEST_F(Constraints, CheapExitsObeyToo) {
  for (KvPolicy kv : kKvPolicies) {
    for (GenerateOptions o : modes()) {
      if (o.read_out == ReadOut::kWeighted) continue;
      o.kv = kv;
      Request r = request(o, 1);
      const auto grammar = std::static_pointer_cast<ToyGrammar>(r.constraint);
      const Generation g = generate(*model_, std::move(r)).value();
      std::vector<int32_t> ids;
      for (const GeneratedToken& t : g.tokens) ids.push_back(t.id);
      EXPECT_EQ(ids, grammar->past());  // which has checked each of them
      EXPECT_EQ(g.finish_reason == FinishReason::kStop, grammar->finished());
    }
  }
}

TEST_F(Constraints, InABatchAndPreemptedTheTokensAreTheSame) {
  EngineOptions options;
  options.kv_bytes = 40 * model_->parts().pages.page_bytes();
  Engine engine(*model_, options);
  std::vector<std::string> expected, got;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    for (const GenerateOptions& mode : modes()) {
      if (mode.exit.max_loops == 4) continue;  // larger than the limit
      Request r = request(mode, seed);
      r.options.max_tokens = 100;
      if (seed % 2 == 0) r.options.speculate = {CommitKind::kAuto};
      Request alone = r;
      alone.constraint = std::make_shared<ToyGrammar>();
      expected.push_back(answer_text(generate(*model_, std::move(alone)).value()));
      got.emplace_back();
      const size_t index = got.size() - 1;
      r.done = [&got, index](Generation g) {
        for (GeneratedToken& t : g.tokens) t.proposals.clear();
        got[index] = answer_text(g);
      };
      ASSERT_OK(engine.submit(std::move(r)));
    }
  }
  engine.run();
  EXPECT_EQ(got, expected);
  EXPECT_GT(engine.statistics().preemptions, 3);
}

// Allows what it is told, and ends when it is told.
class Fixed : public TokenConstraint {
 public:
  explicit Fixed(std::vector<int32_t> tokens) : tokens_(std::move(tokens)) {}
  void mask(std::span<uint32_t> allowed) override {
    std::ranges::fill(allowed, 0u);
    for (int32_t t : tokens_) allowed[static_cast<size_t>(t) / 32] |= 1u << (t % 32);
  }
  void accept(int32_t) override {}
  void forget(int64_t) override {}
  bool finished() const override { return false; }

 private:
  std::vector<int32_t> tokens_;
};

TEST_F(Constraints, NoTokenLeftIsAnError) {
  Request r = request(modes()[0], 1);
  r.constraint = std::make_shared<Fixed>(std::vector<int32_t>{});
  EXPECT_ERROR_SAYS(generate(*model_, r), "leave no token", "place 0");
  // Neither do they leave one when a bias forbids what the constraint allows.
  r.constraint = std::make_shared<Fixed>(std::vector<int32_t>{7});
  r.options.sampling.logit_bias = {{7, -INFINITY}};
  EXPECT_ERROR_SAYS(generate(*model_, r), "leave no token");
  // Nor can a bias bring in what the constraint forbids.
  r.options.sampling.logit_bias = {{9, INFINITY}, {5, 1e9}};
  for (const double temperature : {0.0, 1.0}) {
    r.options.sampling.temperature = temperature;
    const Generation g = generate(*model_, r).value();
    for (const GeneratedToken& t : g.tokens) EXPECT_EQ(t.id, 7);
  }
}

// One token alone may follow each third one, and none those that no last loop chooses.
class Traps : public TokenConstraint {
 public:
  // Without tokens to choose from there are no traps.
  Traps(int64_t vocabulary, std::set<int32_t> chosen)
      : vocabulary_(vocabulary), chosen_(std::move(chosen)) {}
  void mask(std::span<uint32_t> allowed) override {
    if (past_.empty()) return;
    const int32_t last = past_.back();
    const bool trapped = !chosen_.empty() && !chosen_.contains(last);
    if (!trapped && last % 3 != 0) return;
    std::ranges::fill(allowed, 0u);
    const auto only = static_cast<int32_t>((last + 1) % vocabulary_);
    if (!trapped) allowed[static_cast<size_t>(only) / 32] |= 1u << (only % 32);
    trapped_ += trapped ? 1 : 0;
  }
  void accept(int32_t token) override { past_.push_back(token); }
  void forget(int64_t count) override { past_.resize(past_.size() - static_cast<size_t>(count)); }
  bool finished() const override { return false; }
  int64_t trapped() const { return trapped_; }

 private:
  const int64_t vocabulary_;
  const std::set<int32_t> chosen_;
  std::vector<int32_t> past_;
  int64_t trapped_ = 0;
};

TEST_F(Constraints, AGuessWithoutATokenBehindItFailsNothing) {
  int64_t trapped = 0;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    Request plain = request(modes()[0], seed);
    plain.constraint = std::make_shared<Traps>(config_.vocab_size, std::set<int32_t>{});
    const Generation expected = generate(*model_, plain).value();
    std::set<int32_t> chosen;
    for (const GeneratedToken& t : expected.tokens) chosen.insert(t.id);
    for (const SpeculateOptions& s :
         {SpeculateOptions{CommitKind::kLoop, 1}, SpeculateOptions{CommitKind::kMargin, 0.01},
          SpeculateOptions{CommitKind::kAuto}}) {
      Request r = plain;
      r.options.speculate = s;
      const auto traps = std::make_shared<Traps>(config_.vocab_size, chosen);
      r.constraint = traps;
      const Result<Generation> got = generate_on_free_lanes(*model_, std::move(r));
      ASSERT_OK(got.status());
      ASSERT_EQ(got.value().tokens.size(), expected.tokens.size());
      for (size_t i = 0; i < expected.tokens.size(); ++i) {
        ASSERT_EQ(got.value().tokens[i].id, expected.tokens[i].id) << i;
      }
      trapped += traps->trapped();
    }
  }
  EXPECT_GT(trapped, 20) << "no guess was a trap";
}

TEST_F(Constraints, AnEndOfTextThatIsAllowedEnds) {
  Request r = request(modes()[0], 1);
  r.options.ignore_eos = false;
  r.constraint = std::make_shared<Fixed>(std::vector<int32_t>{0});  // the model's end of text
  const Generation g = generate(*model_, r).value();
  EXPECT_EQ(g.tokens.size(), 1u);
  EXPECT_EQ(g.finish_reason, FinishReason::kStop);
}

}  // namespace
}  // namespace looplm

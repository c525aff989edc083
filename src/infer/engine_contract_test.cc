// What the engine promises besides tokens: callbacks, ends, errors, order.
#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "infer/test_model.h"
#include "infer/test_requests.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using std::chrono::steady_clock;

class EngineContract : public testing::Test {
 protected:
  std::unique_ptr<Model> load(const ParameterSet& parameters) {
    write_test_checkpoint(directory_.file("model"), parameters, config_);
    ModelOptions options;
    options.threads = 1;
    return std::move(Model::load(directory_.file("model"), options)).value();
  }

  Request request(int64_t tokens, uint64_t seed = 1) const {
    Request r;
    r.prompt = random_ids(12, config_.vocab_size, seed);
    r.options.max_tokens = tokens;
    r.options.ignore_eos = true;
    return r;
  }

  TempDir directory_;
  ModelConfig config_ = small_config();
  std::unique_ptr<Model> model_ = load(random_parameters(config_, 3));
};

// Results in the order of their ends.
struct Ends {
  std::vector<std::pair<int, Generation>> all;
  void catch_done(Request& r, int name) {
    r.done = [this, name](Generation g) { all.emplace_back(name, std::move(g)); };
  }
  const Generation* of(int name) const {
    const Generation* found = nullptr;
    for (const auto& [which, g] : all) {
      if (which != name) continue;
      EXPECT_EQ(found, nullptr) << "done() of " << name << " was called twice";
      found = &g;
    }
    EXPECT_NE(found, nullptr) << "done() of " << name << " was not called";
    return found;
  }
};

// ---- Exceptions

class ThrowingGrammar : public ToyGrammar {
 public:
  explicit ThrowingGrammar(int where) : where_(where) {}
  void mask(std::span<uint32_t> allowed) override {
    check(0);
    ToyGrammar::mask(allowed);
  }
  void accept(int32_t token) override {
    check(1);
    ToyGrammar::accept(token);
  }
  void forget(int64_t count) override {
    if (where_ == 2) throw std::runtime_error("grammar");
    ToyGrammar::forget(count);
  }

 private:
  void check(int where) const {
    if (where_ == where && past().size() == 4) throw std::runtime_error("grammar");
  }
  int where_;
};

TEST_F(EngineContract, WhatACallbackThrowsEndsItsRequestAlone) {
  std::map<std::string, std::function<void(Request&)>> kinds;
  kinds["token"] = [](Request& r) {
    r.callbacks.token = [](const GeneratedToken&) -> bool { throw std::runtime_error("token"); };
  };
  kinds["screen"] = [](Request& r) {
    r.callbacks.screen = [](const ProvisionalToken& t) -> bool {
      if (t.index == 3) throw std::runtime_error("screen");
      return true;
    };
  };
  kinds["replay"] = [](Request& r) {
    r.replay = [](int64_t index, int64_t, int64_t, int32_t token) {
      if (index == 3) throw std::runtime_error("replay");
      return token;
    };
  };
  kinds["logits"] = [](Request& r) {
    r.options.plan.output = ReadLoops::kEvery;
    r.options.plan.on_logits = [](int64_t position, int64_t, std::span<const float>) -> Status {
      if (position == 14) throw std::runtime_error("logits");
      return {};
    };
  };
  kinds["no exception"] = [](Request& r) {
    r.callbacks.token = [](const GeneratedToken&) -> bool { throw 5; };
  };
  for (int where : {0, 1, 2}) {
    kinds[fmt::format("grammar {}", where)] = [where](Request& r) {
      r.constraint = std::make_shared<ThrowingGrammar>(where);
    };
  }
  const std::string whole = answer_text(generate(*model_, request(20)).value());
  for (const bool speculates : {false, true}) {
    for (const auto& [kind, break_it] : kinds) {
      SCOPED_TRACE(fmt::format("{} {}", kind, speculates));
      const bool takes_back = kind == "grammar 2";
      if (takes_back && !speculates) continue;  // nothing is taken back
      Engine engine(*model_);
      Ends ends;
      for (int i = 0; i < 3; ++i) {
        Request r = request(20);
        if (speculates) r.options.speculate = {CommitKind::kLoop, 1};
        if (i == 1) break_it(r);
        ends.catch_done(r, i);
        ASSERT_OK(engine.submit(std::move(r)));
      }
      engine.run();
      const Generation& broken = *ends.of(1);
      EXPECT_EQ(broken.finish_reason, FinishReason::kError);
      EXPECT_EQ(broken.status.code(), StatusCode::kInternal);
      const std::string what = kind.substr(0, kind.find(' '));
      EXPECT_NE(
          broken.status.message().find(kind == "no exception" ? "not a std::exception" : what),
          std::string::npos)
          << broken.status.message();
      for (int i : {0, 2}) {
        Generation g = *ends.of(i);
        for (GeneratedToken& t : g.tokens) t.proposals.clear();
        EXPECT_EQ(answer_text(g), whole);
      }
      // And the engine is as good as new.
      Request again = request(20);
      ends.catch_done(again, 7);
      ASSERT_OK(engine.submit(std::move(again)));
      engine.run();
      EXPECT_EQ(answer_text(*ends.of(7)), whole);
      engine.drop_prefixes();
      EXPECT_EQ(engine.statistics().kv_bytes, 0u);
    }
  }
}

TEST_F(EngineContract, AnErrorOfOnLogitsIsTheRequestsError) {
  Request r = request(5);
  r.options.plan.prompt = ReadLoops::kEvery;
  int calls = 0;
  r.options.plan.on_logits = [&](int64_t, int64_t, std::span<const float>) {
    ++calls;
    return io_error("the disk is full");
  };
  EXPECT_ERROR_SAYS(generate(*model_, r), "the disk is full");
  EXPECT_EQ(calls, 1);
}

TEST_F(EngineContract, WhatDoneThrowsComesFromStepAndHarmsNobody) {
  Engine engine(*model_);
  Ends ends;
  Request bad = request(3);
  bad.done = [](const Generation&) { throw std::runtime_error("done threw"); };
  Request good = request(20);
  ends.catch_done(good, 0);
  ASSERT_OK(engine.submit(std::move(bad)));
  ASSERT_OK(engine.submit(std::move(good)));
  int thrown = 0;
  for (bool more = true; more;) {
    try {
      more = engine.step();
    } catch (const std::runtime_error& x) {
      EXPECT_STREQ(x.what(), "done threw");
      ++thrown;
    }
  }
  EXPECT_EQ(thrown, 1);
  EXPECT_EQ(answer_text(*ends.of(0)), answer_text(generate(*model_, request(20)).value()));
}

TEST_F(EngineContract, ACallbackMayNotStep) {
  Engine engine(*model_);
  Ends ends;
  Request r = request(3);
  r.callbacks.token = [&](const GeneratedToken&) { return engine.step(); };
  ends.catch_done(r, 0);
  ASSERT_OK(engine.submit(std::move(r)));
  engine.run();
  EXPECT_NE(ends.of(0)->status.message().find("step() was called by a callback"),
            std::string::npos);
}

// ---- Ends

TEST_F(EngineContract, DoneComesOnceAlsoWhenTheEngineIsDestroyed) {
  Ends ends;
  int refused = 0;
  {
    EngineOptions options;
    options.kv_bytes = 60 * model_->parts().pages.page_bytes();
    Engine engine(*model_, options);
    std::vector<int64_t> ids;
    for (int i = 0; i < 9; ++i) {
      Request r = request(i == 0 ? 1 : 100, static_cast<uint64_t>(i));
      ends.catch_done(r, i);
      if (i == 8) {
        r.done = [&, inner = r.done](Generation g) {
          inner(std::move(g));
          refused += !engine.submit(request(1)).ok();
          engine.cancel(1);
        };
      }
      ids.push_back(engine.submit(std::move(r)).value());
    }
    for (int i = 0; i < 10; ++i) engine.step();
    EXPECT_GT(engine.statistics().waiting, 0);
    EXPECT_GT(engine.statistics().running, 1);
    engine.cancel(ids[3]);
    engine.cancel(ids[7]);
  }
  EXPECT_EQ(ends.all.size(), 9u);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(ends.of(i)->finish_reason, i == 0 ? FinishReason::kLength : FinishReason::kCancelled);
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(EngineContract, WhatDoneCancelsEndsInTheSameRun) {
  EngineOptions options;
  options.kv_bytes = 27 * model_->parts().pages.page_bytes();  // one request's
  Engine engine(*model_, options);
  Ends ends;
  std::vector<int64_t> ids;
  for (int i = 0; i < 3; ++i) {
    Request r = request(70, static_cast<uint64_t>(i));
    ends.catch_done(r, i);
    if (i == 0) {
      r.done = [&, inner = r.done](Generation g) {
        inner(std::move(g));
        for (int64_t id : ids) engine.cancel(id);
      };
    }
    ids.push_back(engine.submit(std::move(r)).value());
  }
  engine.step();
  ASSERT_EQ(engine.statistics().running, 1);
  ASSERT_EQ(engine.statistics().waiting, 2);
  engine.cancel(ids[0]);
  engine.run();
  ASSERT_EQ(ends.all.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ends.of(i)->finish_reason, FinishReason::kCancelled);
}

TEST_F(EngineContract, ADeadlineEndsARequestWithinAPass) {
  EngineOptions options;
  options.kv_bytes = 40 * model_->parts().pages.page_bytes();
  Engine engine(*model_, options);
  Ends ends;
  const auto soon = steady_clock::now() + std::chrono::milliseconds(30);
  for (int i = 0; i < 4; ++i) {
    Request r = request(100, static_cast<uint64_t>(i));
    if (i > 0) r.deadline = soon;
    ends.catch_done(r, i);
    ASSERT_OK(engine.submit(std::move(r)));
  }
  engine.step();
  EXPECT_GT(engine.statistics().waiting, 0);
  while (steady_clock::now() < soon) {
  }
  engine.step();
  ASSERT_EQ(ends.all.size(), 3u);
  for (int i : {1, 2, 3}) EXPECT_EQ(ends.of(i)->finish_reason, FinishReason::kDeadline);
  EXPECT_STREQ(finish_reason_name(FinishReason::kDeadline), "deadline");
  engine.run();
  EXPECT_EQ(ends.of(0)->finish_reason, FinishReason::kLength);
}

TEST_F(EngineContract, LogitsThatAreNoNumbersAreAnError) {
  // Finite weights whose products are not.
  ParameterSet parameters = random_parameters(config_, 3);
  for (size_t i = 0; i < parameters.specs().size(); ++i) {
    if (parameters.specs()[i].role != ParameterRole::kHead) continue;
    const auto count = static_cast<size_t>(parameters.specs()[i].count());
    for (size_t k = 0; k < count; ++k) {
      parameters.data()[parameters.offset(i) + k] *= k % 2 == 0 ? 1e38f : -1e38f;
    }
  }
  const auto broken = load(parameters);
  const std::vector<ExitOptions> exits = {
      {ExitKind::kFixed, 1, 1, 0}, {ExitKind::kEntropy, 0.1, 1, 0}, {ExitKind::kMargin, 0.1, 1, 0}};
  for (const ExitOptions& exit : exits) {
    for (const double temperature : {0.0, 1.0}) {
      Request r = request(5);
      r.options.exit = exit;
      r.options.sampling.temperature = temperature;
      EXPECT_ERROR_SAYS(generate(*broken, r), "logits after loop", "position 11", "overflowed");
    }
  }
}

TEST_F(EngineContract, AReplayedTokenMustBeInTheVocabulary) {
  for (const int32_t token : {-1, 61, 1 << 30}) {
    Request r = request(5);
    r.options.plan.output = ReadLoops::kEvery;
    r.replay = [token](int64_t index, int64_t, int64_t, int32_t chosen) {
      return index == 2 ? token : chosen;
    };
    const std::string said = fmt::format("replay gives token {}", token);
    EXPECT_ERROR_SAYS(generate(*model_, r), said.c_str(), "place 2 of the output", "0 to 60");
  }
}

TEST_F(EngineContract, WrongPlansAreNamed) {
  const auto with = [&](auto change) {
    Request r = request(3);
    change(r);
    return generate(*model_, std::move(r));
  };
  EXPECT_ERROR_SAYS(with([](Request& r) { r.options.plan.first = 13; }), "first is 13", "0 to 12");
  EXPECT_ERROR_SAYS(with([](Request& r) { r.options.plan.top = -1; }), "top is -1");
  EXPECT_ERROR_SAYS(with([](Request& r) { r.options.plan.embedding_loop = 4; }),
                    "embedding_loop is 4", "0 to 3");
  EXPECT_ERROR_SAYS(with([](Request& r) {
                      r.constraint = std::make_shared<ToyGrammar>();
                      r.replay = [](int64_t, int64_t, int64_t, int32_t token) { return token; };
                    }),
                    "replay and a constraint");
}

// ---- Order

TEST_F(EngineContract, TheMoreUrgentGoFirstAndOfThemTheEarlier) {
  EngineOptions options;
  options.kv_bytes = 27 * model_->parts().pages.page_bytes();  // one request's
  options.share_prefixes = false;
  Engine engine(*model_, options);
  Ends ends;
  const std::vector<int64_t> priorities = {0, 1, 0, 2, 1, -1};
  for (int i = 0; i < 6; ++i) {
    Request r = request(70, static_cast<uint64_t>(i));
    r.priority = priorities[static_cast<size_t>(i)];
    ends.catch_done(r, i);
    ASSERT_OK(engine.submit(std::move(r)));
  }
  engine.run();
  std::vector<int> order;
  for (const auto& [name, g] : ends.all) order.push_back(name);
  EXPECT_EQ(order, (std::vector<int>{3, 1, 4, 0, 2, 5}));
}

TEST_F(EngineContract, TheMoreUrgentPreempts) {
  EngineOptions options;
  options.kv_bytes = 27 * model_->parts().pages.page_bytes();
  Engine engine(*model_, options);
  Ends ends;
  Request slow = request(70, 1);
  ends.catch_done(slow, 0);
  ASSERT_OK(engine.submit(std::move(slow)));
  for (int i = 0; i < 60; ++i) engine.step();
  Request urgent = request(70, 2);
  urgent.priority = 1;
  ends.catch_done(urgent, 1);
  ASSERT_OK(engine.submit(std::move(urgent)));
  engine.run();
  EXPECT_EQ(ends.all[0].first, 1);
  EXPECT_EQ(ends.of(0)->statistics.preemptions, 1);
  for (int i : {0, 1}) {
    const Request same = request(70, static_cast<uint64_t>(i + 1));
    EXPECT_EQ(answer_text(*ends.of(i)), answer_text(generate(*model_, same).value()));
  }
}

// ---- Weights

TEST_F(EngineContract, NewWeightsReadTheTextSoFar) {
  const ParameterSet before = random_parameters(config_, 3), after = random_parameters(config_, 4);
  for (KvPolicy kv : kKvPolicies) {
    SCOPED_TRACE(kv_policy_name(kv));
    const auto model = load(before);
    const auto changed = load(after);
    std::map<int, size_t> reported;
    Ends ends;
    Engine engine(*model);
    for (int i = 0; i < 3; ++i) {
      Request r = request(20, static_cast<uint64_t>(i));
      r.options.kv = kv;
      r.options.exit = {ExitKind::kGate, 0.6, 1, 0};
      if (kv == KvPolicy::kFull && i == 1) r.options.speculate = {CommitKind::kLoop, 1};
      r.callbacks.token = [&reported, i](const GeneratedToken&) {
        ++reported[i];
        return true;
      };
      ends.catch_done(r, i);
      ASSERT_OK(engine.submit(std::move(r)));
    }
    for (int i = 0; i < 20; ++i) engine.step();
    const std::map<int, size_t> before_change = reported;
    ASSERT_OK(model->update_weights(after.source()));
    engine.run();
    for (int i = 0; i < 3; ++i) {
      const Generation& g = *ends.of(i);
      ASSERT_EQ(g.tokens.size(), 20u);
      const size_t same = before_change.at(i);
      ASSERT_GT(same, 2u);
      ASSERT_LT(same, 15u);
      if (kv != KvPolicy::kFull) continue;
      // What follows is what the new weights say after prompt and reported tokens.
      Request rest = request(20, static_cast<uint64_t>(i));
      for (size_t t = 0; t < same; ++t) rest.prompt.push_back(g.tokens[t].id);
      rest.options.exit = {ExitKind::kGate, 0.6, 1, 0};
      rest.options.max_tokens = 20 - static_cast<int64_t>(same);
      const Generation tail = generate(*changed, rest).value();
      for (size_t t = same; t < 20; ++t) EXPECT_EQ(g.tokens[t].id, tail.tokens[t - same].id) << t;
    }
    // Kept prefixes are of the new weights.
    Request again = request(20, 0);
    ends.all.clear();
    ends.catch_done(again, 0);
    ASSERT_OK(engine.submit(std::move(again)));
    engine.run();
    EXPECT_EQ(answer_text(*ends.of(0)), answer_text(generate(*changed, request(20, 0)).value()));
  }
}

TEST_F(EngineContract, RequestsThatBeginAlikeReadTheirTextAgain) {
  const ParameterSet before = random_parameters(config_, 3), after = random_parameters(config_, 4);
  const auto changed = load(after);
  const auto model = load(before);
  const auto alike = [&](int i) {
    Request r = request(30, 7);
    r.prompt = random_ids(70, config_.vocab_size, 7);
    r.prompt.back() = i;
    return r;
  };
  // The weights change while prompts are read, while some wait for others', and later.
  for (const int steps : {1, 2, 4, 8, 20}) {
    SCOPED_TRACE(steps);
    ASSERT_OK(model->update_weights(before.source()));
    Ends ends;
    EngineOptions options;
    options.prompt_lanes = 32;
    Engine engine(*model, options);
    for (int i = 0; i < 4; ++i) {
      Request r = alike(i);
      r.priority = i % 2;
      ends.catch_done(r, i);
      ASSERT_OK(engine.submit(std::move(r)));
    }
    for (int i = 0; i < steps; ++i) engine.step();
    ASSERT_OK(model->update_weights(after.source()));
    engine.run();
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(ends.of(i)->tokens.size(), 30u);
      if (steps > 2) continue;  // tokens were reported before
      EXPECT_EQ(answer_text(*ends.of(i)), answer_text(generate(*changed, alike(i)).value()));
    }
  }
}

}  // namespace
}  // namespace looplm

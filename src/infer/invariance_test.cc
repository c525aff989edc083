// A lane's result does not depend on what else is in the pass, on chunks, threads or caches: bit
// for bit. And the laws of looping: T loops are T unrolled copies.
#include <set>

#include "base/check.h"
#include "infer/test_model.h"

namespace looplm {
namespace {

constexpr int64_t kTokens = 71;  // more than two pages

struct Variant {
  Isa isa;
  DType dtype;
};

class Invariance : public testing::TestWithParam<Variant> {
 protected:
  TestModel model(const ModelConfig& config, const ParameterSet& parameters, int threads = 1) {
    return TestModel(parameters, config, GetParam().dtype, threads);
  }
  ScopedIsa isa_{GetParam().isa};
  ModelConfig config_ = small_config();
  ParameterSet parameters_ = random_parameters(config_, 1);
  std::vector<int32_t> ids_ = random_ids(kTokens, config_.vocab_size, 2);
};

void expect_same(const PromptResult& a, const PromptResult& b) {
  EXPECT_TRUE(same_bits(a.normed, b.normed));
  EXPECT_TRUE(same_bits(a.logits, b.logits));
  EXPECT_TRUE(same_bits(a.gate, b.gate));
}

TEST_P(Invariance, PromptChunks) {
  TestModel m = model(config_, parameters_);
  const PromptResult whole = read_prompt(*m.runner, m.pages, ids_, config_.loops, 256);
  for (int64_t chunk : {1, 3, 31, 32, 33, 70}) {
    SCOPED_TRACE(chunk);
    expect_same(read_prompt(*m.runner, m.pages, ids_, config_.loops, chunk), whole);
  }
}

TEST_P(Invariance, Threads) {
  TestModel one = model(config_, parameters_, 1);
  const PromptResult expected = read_prompt(*one.runner, one.pages, ids_, config_.loops, 256);
  for (int threads : {2, 3}) {
    SCOPED_TRACE(threads);
    TestModel m = model(config_, parameters_, threads);
    expect_same(read_prompt(*m.runner, m.pages, ids_, config_.loops, 256), expected);
    expect_same(read_prompt(*m.runner, m.pages, ids_, config_.loops, 17), expected);
  }
}

TEST_P(Invariance, DecodingEqualsReadingAPrompt) {
  TestModel m = model(config_, parameters_);
  const PromptResult whole = read_prompt(*m.runner, m.pages, ids_, config_.loops, 256);
  const auto v = static_cast<size_t>(config_.vocab_size);
  // Read out at each of the loops, whether it is the last or not.
  for (int64_t exit = 1; exit <= config_.loops; ++exit) {
    SCOPED_TRACE(exit);
    ExitOptions options;
    options.kind = ExitKind::kGate;
    options.threshold = 0;  // as early as min_loops lets it
    const ExitRule rule = make_exit_rule(options, true).value();
    PositionReader reader(config_, rule, ReadOut::kSelected, exit, config_.loops);
    Sequence sequence(*m.runner, m.pages, config_.loops, KvPolicy::kFull);
    ASSERT_OK(sequence.read_prompt({ids_.data(), 2}, 256, {}));
    for (size_t i = 2; i < ids_.size(); ++i) {
      sequence.extend(ids_[i], reader);
      ASSERT_EQ(reader.loops(), exit);
      const size_t at = (static_cast<size_t>(exit - 1) * ids_.size() + i) * v;
      ASSERT_TRUE(same_bits({reader.logits(), v}, {&whole.logits[at], v})) << "position " << i;
    }
  }
}

// One sequence on its way through the wavefront: which lanes it may run next.
struct Walker {
  Walker(TestModel& m, std::vector<int32_t> tokens)
      : ids(std::move(tokens)),
        cache(m.pages, m.config.layers, m.config.loops),
        state(ids.size() * static_cast<size_t>(m.config.hidden_size)),
        next_loop(ids.size(), 0) {
    m.runner->embed(ids, state.data());
  }

  std::vector<int32_t> ids;
  SequenceCache cache;
  std::vector<float> state;
  std::vector<int64_t> next_loop;  // of each position
};

TEST_P(Invariance, AnyLawfulScheduleOfSeveralSequencesGivesTheSameBits) {
  TestModel m = model(config_, parameters_);
  const int64_t width = config_.hidden_size;
  std::vector<std::unique_ptr<Walker>> walkers;
  std::vector<PromptResult> alone;
  for (uint64_t s = 0; s < 3; ++s) {
    const std::vector<int32_t> ids =
        random_ids(20 + 17 * static_cast<int64_t>(s), config_.vocab_size, 10 + s);
    alone.push_back(read_prompt(*m.runner, m.pages, ids, config_.loops, 256));
    walkers.push_back(std::make_unique<Walker>(m, ids));
  }
  Rng rng(3);
  LaneArena arena(config_);
  int64_t mixed = 0, finished = 0;
  const int64_t all = config_.loops * (20 + 37 + 54);
  while (finished < all) {
    std::vector<Lane> lanes;
    std::vector<std::pair<size_t, size_t>> places;  // sequence, position
    std::set<int64_t> loops_here;
    for (size_t s = 0; s < walkers.size(); ++s) {
      Walker& w = *walkers[s];
      for (int64_t loop = 0; loop < config_.loops; ++loop) {
        uint32_t quota = rng.below(5);
        for (size_t i = 0; i < w.ids.size(); ++i) {
          if (w.next_loop[i] > loop) continue;
          // Positions before i have run this loop or run it in this pass; i itself has ended the
          // loop before in an earlier pass.
          if (w.next_loop[i] < loop || quota-- == 0) break;
          const bool already =
              std::find(places.begin(), places.end(), std::pair(s, i)) != places.end();
          if (already) break;
          lanes.push_back({&w.cache, static_cast<int64_t>(i), loop});
          places.emplace_back(s, i);
          loops_here.insert(loop);
        }
      }
    }
    const auto state_of = [&](size_t r) {
      const auto [s, i] = places[r];
      return walkers[s]->state.data() + static_cast<int64_t>(i) * width;
    };
    arena.resize(static_cast<int64_t>(lanes.size()));
    for (size_t r = 0; r < lanes.size(); ++r) {
      std::copy_n(state_of(r), width, arena.state(static_cast<int64_t>(r)));
    }
    m.runner->run(arena, lanes);
    for (size_t r = 0; r < lanes.size(); ++r) {
      std::copy_n(arena.state(static_cast<int64_t>(r)), width, state_of(r));
    }
    mixed += loops_here.size() > 1;
    for (size_t r = 0; r < lanes.size(); ++r) {
      const auto [s, i] = places[r];
      const size_t row = static_cast<size_t>(lanes[r].loop) * walkers[s]->ids.size() + i;
      const auto e = static_cast<size_t>(width);
      const float* normed = arena.normed(static_cast<int64_t>(r));
      ASSERT_TRUE(same_bits({normed, e}, {&alone[s].normed[row * e], e}))
          << "sequence " << s << " position " << i << " loop " << lanes[r].loop;
      ASSERT_TRUE(same_bits({&lanes[r].gate_logit, 1}, {&alone[s].gate[row], 1}));
      ++walkers[s]->next_loop[i];
      ++finished;
    }
  }
  EXPECT_GT(mixed, 10) << "the schedule never mixed loops, so it tests nothing";
}

TEST_P(Invariance, ALaneThatWouldReadUncomputedKeysIsRefused) {
  TestModel m = model(config_, parameters_);
  Walker w(m, ids_);
  Lane lane = {&w.cache, 1, 0};
  LaneArena arena(config_);
  arena.resize(1);
  EXPECT_THROW(m.runner->run(arena, {&lane, 1}), CheckError);
}

// Layer l of copy t of the unrolled model is layer l of the looped one.
ParameterSet unrolled(const ParameterSet& looped, const ModelConfig& from, const ModelConfig& to) {
  ParameterSet set(to);
  const std::string prefix = "model.layers.";
  for (size_t i = 0; i < set.specs().size(); ++i) {
    std::string name = set.specs()[i].name;
    if (name.starts_with(prefix)) {
      const size_t dot = name.find('.', prefix.size());
      const int64_t layer = std::stoll(name.substr(prefix.size(), dot - prefix.size()));
      name = layer_parameter_name(layer % from.layers, name.c_str() + dot + 1);
    }
    std::copy_n(looped.find(name), set.specs()[i].count(), set.data() + set.offset(i));
  }
  return set;
}

TEST_P(Invariance, LoopsAreUnrolledCopies) {
  for (NormPlacement placement : {NormPlacement::kSandwich, NormPlacement::kPre}) {
    ModelConfig looped = config_;
    looped.norm_placement = placement;
    looped.norm_between_loops = false;
    const ParameterSet parameters = random_parameters(looped, 4);
    TestModel l = model(looped, parameters);
    const PromptResult a = read_prompt(*l.runner, l.pages, ids_, looped.loops, 256);
    for (int64_t copies = 1; copies <= looped.loops; ++copies) {
      ModelConfig flat = looped;
      flat.layers = looped.layers * copies;
      flat.loops = 1;
      TestModel u = model(flat, unrolled(parameters, looped, flat));
      const PromptResult b = read_prompt(*u.runner, u.pages, ids_, 1, 256);
      const size_t n = b.logits.size();
      EXPECT_TRUE(same_bits(b.logits, {&a.logits[static_cast<size_t>(copies - 1) * n], n}))
          << copies << " copies";
    }
  }
}

// With one loop there is no "between loops", and the first of several loops is a plain transformer.
TEST_P(Invariance, OneLoopIsAPlainTransformer) {
  for (NormPlacement placement : {NormPlacement::kSandwich, NormPlacement::kPre}) {
    ModelConfig looped = config_;
    looped.norm_placement = placement;
    const ParameterSet parameters = random_parameters(looped, 5);
    ModelConfig plain = looped;
    plain.loops = 1;
    plain.norm_between_loops = false;
    TestModel a = model(looped, parameters), b = model(plain, parameters);
    const PromptResult many = read_prompt(*a.runner, a.pages, ids_, looped.loops, 256);
    const PromptResult one = read_prompt(*b.runner, b.pages, ids_, 1, 256);
    EXPECT_TRUE(same_bits(one.logits, {many.logits.data(), one.logits.size()}));
    EXPECT_FALSE(same_bits(one.logits, {many.logits.data() + one.logits.size(), one.logits.size()}))
        << "the second loop changes nothing";
  }
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (Isa isa : available_isas()) {
    for (DType dtype : {DType::kF32, DType::kBf16}) all.push_back({isa, dtype});
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Isa, Invariance, testing::ValuesIn(variants()),
                         [](const testing::TestParamInfo<Variant>& variant) {
                           return std::string(isa_name(variant.param.isa)) +
                                  (variant.param.dtype == DType::kF32 ? "_f32" : "_bf16");
                         });

}  // namespace
}  // namespace looplm

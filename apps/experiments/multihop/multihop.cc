#include "experiments/multihop/multihop.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/shuffle.h"
#include "experiments/core/text_task.h"

namespace looplm {
namespace {

constexpr int64_t kMaxPeople = 2500;
constexpr int kMaxRelations = 32;
// Their order is kept in memory, 4 bytes each.
constexpr int64_t kMaxQuestions = int64_t{1} << 28;

// Words of the templates, by id. Who is the R of the R of NAME ? Answer: NAME / The R of NAME is
// NAME.
enum Word : int32_t { kWho, kIs, kThe, kOf, kQuestionMark, kAnswer, kTheFirst, kWords };
constexpr std::array<std::string_view, kWords> kWordTexts = {"Who", "is",      "the", "of",
                                                             "?",   "Answer:", "The"};

constexpr std::array<std::string_view, kMaxRelations> kNouns = {
    "tutor",  "rival",    "neighbour", "aunt",    "captain", "doctor",  "landlord", "partner",
    "cousin", "employer", "barber",    "coach",   "witness", "dentist", "guest",    "heir",
    "idol",   "lawyer",   "patron",    "sponsor", "uncle",   "warden",  "editor",   "agent",
    "banker", "gardener", "tailor",    "deputy",  "critic",  "pilot",   "cook",     "referee"};

// Independent streams of the world's seed.
constexpr uint64_t kFactStream = uint64_t{1} << 63;
constexpr uint64_t kOrderStream = kFactStream + 1;

// The number of questions, or kMaxQuestions + 1 where there are more.
int64_t count_questions(const MultihopOptions& o) {
  int64_t count = o.people_per_layer;
  for (int hop = 0; hop < o.hops && count <= kMaxQuestions; ++hop) count *= o.relations;
  return std::min(count, kMaxQuestions + 1);
}

}  // namespace

std::string multihop_person_name(int person) {
  LOOPLM_CHECK(person >= 0 && person < kMaxPeople, "person {}", person);
  // The first two letters say which of 50 beginnings, the third and the last which of 50 ends.
  constexpr std::string_view kFirst = "BDFGKLMNRT";
  constexpr std::string_view kSecond = "bdglmnrstv";
  constexpr std::string_view kVowels = "aeiou";
  constexpr std::string_view kEnds = "nrlsk";
  const int first = person % 50;
  const int second = (person / 50 + person) % 50;  // so that neighbours differ in both
  std::string name;
  name += kFirst[static_cast<size_t>(first / 5)];
  name += kVowels[static_cast<size_t>(first % 5)];
  name += kSecond[static_cast<size_t>(second / 5)];
  name += kVowels[static_cast<size_t>((second + first) % 5)];
  name += kEnds[static_cast<size_t>(second % 5)];
  return name;
}

std::string multihop_relation_noun(int relation) {
  LOOPLM_CHECK(relation >= 0 && relation < kMaxRelations, "relation {}", relation);
  return std::string(kNouns[static_cast<size_t>(relation)]);
}

Status check(const MultihopOptions& o) {
  const auto outside = [](const char* name, int64_t value, int64_t least, int64_t most) {
    return invalid_argument(
        fmt::format("multihop: {} is {}; expected {}..{}", name, value, least, most));
  };
  if (o.layers < 2 || o.layers > 100) return outside("layers", o.layers, 2, 100);
  const int64_t most_people = kMaxPeople / o.layers;
  if (o.people_per_layer < 2 || o.people_per_layer > most_people) {
    return outside("people_per_layer", o.people_per_layer, 2, most_people);
  }
  if (o.relations < 2 || o.relations > kMaxRelations) {
    return outside("relations", o.relations, 2, kMaxRelations);
  }
  if (o.hops < 1 || o.hops >= o.layers) return outside("hops", o.hops, 1, o.layers - 1);
  const int64_t questions = count_questions(o);
  if (questions > kMaxQuestions) {
    return invalid_argument(
        fmt::format("multihop: {} people and {} relations make more than {} questions of {} hops",
                    o.people_per_layer, o.relations, kMaxQuestions, o.hops));
  }
  if (o.held_out_questions < 1 || o.held_out_questions >= questions) {
    return outside("held_out_questions", o.held_out_questions, 1, questions - 1);
  }
  if (o.train_questions < 1 || o.train_questions > questions - o.held_out_questions) {
    return outside("train_questions", o.train_questions, 1, questions - o.held_out_questions);
  }
  if (!(o.fact_share >= 0 && o.fact_share < 1)) {
    return invalid_argument(
        fmt::format("multihop: fact_share is {}; expected at least 0 and below 1", o.fact_share));
  }
  return {};
}

MultihopWorld::MultihopWorld(const MultihopOptions& options) : options_(options) {
  LOOPLM_CHECK(check(options).ok(), "{}", check(options).message());
  Rng facts(options.seed, kFactStream);
  const int people = options.people_per_layer;
  for (int from = 0; from < (options.layers - 1) * people; ++from) {
    const int first = (from / people + 1) * people;  // of the next layer
    for (int r = 0; r < options.relations; ++r) {
      next_.push_back(first + static_cast<int32_t>(facts.below(static_cast<uint32_t>(people))));
    }
  }
  order_.resize(static_cast<size_t>(count_questions(options)));
  std::iota(order_.begin(), order_.end(), 0u);
  Rng of_order(options.seed, kOrderStream);
  shuffle(order_, of_order);
}

int32_t MultihopWorld::relation_id(int relation) const { return kWords + relation; }
int32_t MultihopWorld::person_id(int person) const { return kWords + options_.relations + person; }
int64_t MultihopWorld::vocab_size() const { return kWords + options_.relations + people(); }
int64_t MultihopWorld::questions() const { return static_cast<int64_t>(order_.size()); }
int64_t MultihopWorld::facts() const { return static_cast<int64_t>(next_.size()); }

int MultihopWorld::next(int person, int relation) const {
  LOOPLM_CHECK(person >= 0 && person < people() - options_.people_per_layer, "person {}", person);
  LOOPLM_CHECK(relation >= 0 && relation < options_.relations, "relation {}", relation);
  return next_[static_cast<size_t>(person) * static_cast<size_t>(options_.relations) +
               static_cast<size_t>(relation)];
}

MultihopWorld::Question MultihopWorld::question(int64_t number) const {
  LOOPLM_CHECK(number >= 0 && number < questions(), "question {} of {}", number, questions());
  auto code = static_cast<int>(order_[static_cast<size_t>(number)]);
  Question question;
  for (int hop = 0; hop < options_.hops; ++hop) {
    question.relations.push_back(code % options_.relations);
    code /= options_.relations;
  }
  question.person = code;
  return question;
}

int MultihopWorld::answer(const Question& question) const {
  int person = question.person;
  for (const int relation : question.relations) person = next(person, relation);
  return person;
}

std::vector<int32_t> MultihopWorld::question_ids(const Question& question) const {
  std::vector<int32_t> ids = {kWho, kIs};
  for (auto r = question.relations.rbegin(); r != question.relations.rend(); ++r) {
    ids.insert(ids.end(), {kThe, relation_id(*r), kOf});
  }
  ids.insert(ids.end(),
             {person_id(question.person), kQuestionMark, kAnswer, person_id(answer(question))});
  return ids;
}

std::vector<int32_t> MultihopWorld::fact_ids(int64_t number) const {
  LOOPLM_CHECK(number >= 0 && number < facts(), "fact {} of {}", number, facts());
  const auto person = static_cast<int>(number / options_.relations);
  const auto relation = static_cast<int>(number % options_.relations);
  return {kTheFirst, relation_id(relation),
          kOf,       person_id(person),
          kIs,       person_id(next(person, relation))};
}

std::string MultihopWorld::text(const std::vector<int32_t>& ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (!text.empty()) text += ' ';
    if (id < kWords) {
      text += kWordTexts[static_cast<size_t>(id)];
    } else if (id < person_id(0)) {
      text += multihop_relation_noun(id - relation_id(0));
    } else {
      text += multihop_person_name(id - person_id(0));
    }
  }
  return text;
}

uint64_t MultihopStream::hash() const {
  const MultihopOptions& o = world_->options();
  uint64_t hash = o.seed;
  for (const uint64_t value :
       {static_cast<uint64_t>(o.layers), static_cast<uint64_t>(o.people_per_layer),
        static_cast<uint64_t>(o.relations), static_cast<uint64_t>(o.hops),
        static_cast<uint64_t>(o.held_out_questions), static_cast<uint64_t>(o.train_questions),
        std::bit_cast<uint64_t>(o.fact_share)}) {
    const PhiloxBlock block = philox(hash, 0, value);
    hash = (uint64_t{block[0]} << 32) | block[1];
  }
  return hash;
}

void MultihopStream::document(uint64_t index, std::vector<int32_t>& ids,
                              std::vector<bool>& learnt) const {
  const MultihopOptions& o = world_->options();
  Rng rng(o.seed, index);
  if (static_cast<double>(rng.uniform()) < o.fact_share) {
    ids = world_->fact_ids(rng.below(static_cast<uint32_t>(world_->facts())));
  } else {
    const auto drawn = rng.below(static_cast<uint32_t>(o.train_questions));
    ids = world_->question_ids(world_->question(o.held_out_questions + drawn));
  }
  learnt.assign(ids.size(), false);
  learnt.back() = true;
}

namespace {

Status write_questions(const MultihopWorld& world, int64_t first, int64_t count,
                       const std::string& path) {
  return write_answer_shard(path, world.vocab_size(), count, [&](int64_t i) {
    return world.question_ids(world.question(first + i));
  });
}

}  // namespace

Status write_held_out_shard(const MultihopWorld& world, const std::string& path) {
  return write_questions(world, 0, world.options().held_out_questions, path);
}

Status write_trained_shard(const MultihopWorld& world, int64_t limit, const std::string& path) {
  const MultihopOptions& o = world.options();
  return write_questions(world, o.held_out_questions, std::min(limit, o.train_questions), path);
}

double shortcut_accuracy(const MultihopWorld& world) {
  const auto relations = static_cast<size_t>(world.options().relations);
  const auto people = static_cast<size_t>(world.people());
  const auto outermost = [](const MultihopWorld::Question& question) {
    return static_cast<size_t>(question.relations.back());
  };
  std::vector<int64_t> counts(relations * people);
  for (int64_t q = 0; q < world.questions(); ++q) {
    const MultihopWorld::Question question = world.question(q);
    ++counts[outermost(question) * people + static_cast<size_t>(world.answer(question))];
  }
  std::vector<int> guess;
  for (size_t r = 0; r < relations; ++r) {
    const auto first = counts.begin() + static_cast<ptrdiff_t>(r * people);
    guess.push_back(
        static_cast<int>(std::max_element(first, first + static_cast<ptrdiff_t>(people)) - first));
  }
  int64_t right = 0;
  const int64_t held_out = world.options().held_out_questions;
  for (int64_t q = 0; q < held_out; ++q) {
    const MultihopWorld::Question question = world.question(q);
    right += guess[outermost(question)] == world.answer(question);
  }
  return static_cast<double>(right) / static_cast<double>(held_out);
}

Status write_fact_shard(const MultihopWorld& world, const std::string& path) {
  return write_answer_shard(path, world.vocab_size(), world.facts(),
                            [&](int64_t i) { return world.fact_ids(i); });
}

}  // namespace looplm

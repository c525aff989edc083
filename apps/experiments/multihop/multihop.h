// Multi-hop questions over a made-up world (arXiv:2510.25741, section 6.2 and appendix B.3, after
// Yao et al., arXiv:2505.17923).
//
//   Who is the tutor of the aunt of the rival of Bomar ? Answer: Keldin
//
// People stand in layers of equal size. For every person of a layer but the last and every
// relation, one person of the next layer, uniformly drawn, is that relation of theirs: an atomic
// fact ("The rival of Bomar is Tasul"). A question starts at a person of the first layer and
// follows `hops` relations, so there are people_per_layer * relations^hops of them; the answer is
// one token. The last relation of the text is followed first.
#ifndef LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_H_
#define LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "looplm/status.h"
#include "looplm/train.h"

namespace looplm {

struct MultihopOptions {
  int layers = 5;
  int people_per_layer = 100;  // layers * people_per_layer names, 2500 at most
  int relations = 20;          // 32 at most
  int hops = 3;                // layers - 1 at most
  int64_t held_out_questions = 3000;
  int64_t train_questions = 200000;  // unique ones
  // Share of the stream's documents that are atomic facts. Without facts a question says what its
  // answer is, but nothing names the people on the way.
  double fact_share = 0.1;
  uint64_t seed = 1;  // of facts, and of the order of questions and documents
};

Status check(const MultihopOptions& options);

// Ids: the words of the templates, then relations, then people.
class MultihopWorld {
 public:
  explicit MultihopWorld(const MultihopOptions& options);  // options must be right

  struct Question {
    int person = 0;                // 0 .. people_per_layer - 1 of the first layer
    std::vector<int> relations{};  // in the order in which they are followed
  };

  const MultihopOptions& options() const { return options_; }
  int64_t vocab_size() const;
  int64_t people() const { return int64_t{options_.layers} * options_.people_per_layer; }
  int64_t questions() const;  // of all
  int64_t facts() const;

  // Whom `relation` of `person` leads to; people are numbered over all layers, the last has none.
  int next(int person, int relation) const;

  // Question `number`, 0 .. questions() - 1, in a fixed random order: the held-out ones come first,
  // then those of training, so that more training questions contain the fewer.
  Question question(int64_t number) const;
  int answer(const Question& question) const;

  // Ids of a question with its answer, which is the last; of fact `number`, 0 .. facts() - 1, whose
  // last id is who it is.
  std::vector<int32_t> question_ids(const Question& question) const;
  std::vector<int32_t> fact_ids(int64_t number) const;
  std::string text(const std::vector<int32_t>& ids) const;

 private:
  int32_t relation_id(int relation) const;
  int32_t person_id(int person) const;

  MultihopOptions options_;
  std::vector<int32_t> next_;    // (people but the last layer's, relations)
  std::vector<uint32_t> order_;  // of questions
};

// Document i: with probability fact_share a fact, else a question of training, either uniform. The
// last token alone is learnt.
class MultihopStream : public DocumentStream {
 public:
  explicit MultihopStream(std::shared_ptr<const MultihopWorld> world) : world_(std::move(world)) {}

  int64_t vocab_size() const override { return world_->vocab_size(); }
  uint64_t hash() const override;
  void document(uint64_t index, std::vector<int32_t>& ids,
                std::vector<bool>& learnt) const override;

 private:
  std::shared_ptr<const MultihopWorld> world_;
};

// Shards that score the last token: of the held-out questions; of at most `limit` questions of
// training; of all facts.
Status write_held_out_shard(const MultihopWorld& world, const std::string& path);
Status write_trained_shard(const MultihopWorld& world, int64_t limit, const std::string& path);
Status write_fact_shard(const MultihopWorld& world, const std::string& path);

// What a model scores on held-out questions that knows of each outermost relation (the first of the
// text) only whom it leads to most often, over all questions. A fact that the last hop draws on
// counts in every question that ends there, so with few people per layer this is far above chance.
double shortcut_accuracy(const MultihopWorld& world);

// Names of people, all different: 0 .. 2499. Nouns of relations, all different: 0 .. 31.
std::string multihop_person_name(int person);
std::string multihop_relation_noun(int relation);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_MULTIHOP_MULTIHOP_H_

#include "eval/teach.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "looplm/engine.h"

#include "train/teacher_file.h"

namespace looplm {
namespace {

constexpr int64_t kDocumentsAtOnce = 32;

// Part of a document that is read in one go, and of which position on its words are new.
struct Stretch {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t first = 0;
};

// Of a document whose first `tokens` are read.
std::vector<Stretch> stretches(int64_t tokens, int64_t positions) {
  std::vector<Stretch> all;
  const int64_t step = std::max<int64_t>(1, positions / 2);
  for (int64_t begin = 0, known = 0; known < tokens; begin += step) {
    const int64_t end = std::min(begin + positions, tokens);
    all.push_back({begin, end, known});
    known = end;
  }
  return all;
}

Status check_teacher(const TokenShard& shard, const Model& model, int64_t top) {
  const std::string name = "'" + shard.path() + "'";
  if (shard.is_pairs()) {
    return invalid_argument(name + " holds preference pairs; expected documents");
  }
  if (model.tokenizer() != nullptr) {
    LOOPLM_RETURN_IF_ERROR(check_same_tokenizer(name, shard.vocabulary(), "'" + model.name() + "'",
                                                *model.tokenizer()));
  }
  if (model.config().vocab_size < shard.vocab_size()) {
    return invalid_argument(fmt::format("{} is made with a vocabulary of {}; '{}' has {}", name,
                                        shard.vocab_size(), model.name(),
                                        model.config().vocab_size));
  }
  if (top > shard.vocab_size()) {
    return invalid_argument(
        fmt::format("{} tokens are asked for; the vocabulary has {}", top, shard.vocab_size()));
  }
  return {};
}

class Teaching {
 public:
  Teaching(const TokenShard& shard, Model& model, int64_t top, TeacherFileWriter& writer)
      : shard_(shard), model_(model), top_(top), writer_(writer) {}

  // Documents [first, last).
  Status read(int64_t first, int64_t last) {
    // Documents rarely begin alike, and nothing of them is read twice.
    Engine engine(model_, {.share_prefixes = false});
    documents_.clear();
    documents_.resize(static_cast<size_t>(last - first));
    for (int64_t d = first; d < last; ++d) {
      LOOPLM_RETURN_IF_ERROR(submit(engine, d, documents_[static_cast<size_t>(d - first)]));
    }
    engine.run();
    LOOPLM_RETURN_IF_ERROR(failed_);
    for (int64_t d = first; d < last; ++d) {
      LOOPLM_RETURN_IF_ERROR(write(d, documents_[static_cast<size_t>(d - first)]));
    }
    return {};
  }

 private:
  // What is said after each of a document's tokens.
  using Readings = std::vector<std::vector<TopToken>>;

  Status submit(Engine& engine, int64_t document, Readings& readings) {
    const int64_t tokens = shard_.document_length(document) - 1;  // after the last comes nothing
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    LOOPLM_RETURN_IF_ERROR(shard_.read(document, 0, ids));
    readings.resize(ids.size());
    int64_t first_wanted = 0;  // prompts are only read
    while (first_wanted < tokens && !shard_.is_learnt(document, first_wanted + 1)) ++first_wanted;
    for (const Stretch& s : stretches(tokens, model_.config().max_positions)) {
      if (s.end <= first_wanted) continue;
      Request request;
      request.prompt.assign(ids.begin() + s.begin, ids.begin() + s.end);
      request.options.max_tokens = 0;
      request.options.plan.prompt = ReadLoops::kExit;
      request.options.plan.first = std::max(s.first, first_wanted) - s.begin;
      request.options.plan.top = top_;
      request.done = [this, &readings, begin = s.begin](const Generation& result) {
        if (!result.status.ok()) failed_ = result.status;
        for (const PositionReading& reading : result.prompt) {
          readings[static_cast<size_t>(begin + reading.position)] = reading.loops.back().top;
        }
      };
      LOOPLM_RETURN_IF_ERROR(engine.submit(std::move(request)).status());
    }
    return {};
  }

  Status write(int64_t document, const Readings& readings) {
    for (size_t i = 0; i < readings.size(); ++i) {
      if (!shard_.is_learnt(document, static_cast<int64_t>(i) + 1)) continue;
      ids_.clear();
      log_probabilities_.clear();
      for (const TopToken& token : readings[i]) {
        ids_.push_back(static_cast<uint32_t>(token.id));
        log_probabilities_.push_back(token.log_probability);
      }
      LOOPLM_RETURN_IF_ERROR(writer_.add({ids_, log_probabilities_}));
    }
    return {};
  }

  const TokenShard& shard_;
  Model& model_;
  int64_t top_;
  TeacherFileWriter& writer_;
  std::vector<Readings> documents_;
  Status failed_;
  std::vector<uint32_t> ids_;
  std::vector<float> log_probabilities_;
};

}  // namespace

Status teach_shard(const TokenShard& shard, Model& model, int64_t top) {
  LOOPLM_RETURN_IF_ERROR(check_teacher(shard, model, top));
  LOOPLM_ASSIGN_OR_RETURN(TeacherFileWriter writer, TeacherFileWriter::create(shard, top));
  Teaching teaching(shard, model, top, writer);
  for (int64_t first = 0; first < shard.documents(); first += kDocumentsAtOnce) {
    const int64_t last = std::min(first + kDocumentsAtOnce, shard.documents());
    LOOPLM_RETURN_IF_ERROR(teaching.read(first, last));
  }
  return writer.commit();
}

}  // namespace looplm

#include "infer/row_reader.h"

#include <algorithm>

namespace looplm {

void RowReader::begin() {
  rows_.clear();
  guess_loops_.clear();
}

void RowReader::add(const void* request, const ReadRow& row) {
  const auto width = static_cast<size_t>(parts_.config().hidden_size);
  const size_t at = rows_.size() * width;
  normed_.resize(std::max(normed_.size(), at + width));
  std::copy_n(arena_.normed(row.slot), width, normed_.data() + at);
  rows_.push_back({request, row.start});
  guess_loops_.push_back(row.guess_loop);
}

void RowReader::read() {
  const auto vocabulary = static_cast<size_t>(parts_.config().vocab_size);
  logits_.resize(std::max(logits_.size(), rows_.size() * vocabulary));
  summaries_.resize(rows_.size());
  if (parts_.guesses) parts_.guesses->apply(guess_loops_, normed_.data(), parts_.runner->device());
  parts_.runner->read_out(normed_.data(), std::ssize(rows_), logits_.data(), summaries_.data());
}

size_t RowReader::index_of(const void* request, const ReadRow& row) const {
  return static_cast<size_t>(std::ranges::find(rows_, Key{request, row.start}) - rows_.begin());
}

bool RowReader::has(const void* request, const ReadRow& row) const {
  return index_of(request, row) < rows_.size();
}

const float* RowReader::logits(const void* request, const ReadRow& row) const {
  const auto vocabulary = static_cast<size_t>(parts_.config().vocab_size);
  return logits_.data() + index_of(request, row) * vocabulary;
}

const LogitSummary& RowReader::summary(const void* request, const ReadRow& row) const {
  return summaries_.at(index_of(request, row));
}

}  // namespace looplm

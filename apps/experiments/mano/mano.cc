#include "experiments/mano/mano.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/rng.h"
#include "eval/held_out.h"
#include "experiments/core/text_task.h"

namespace looplm {
namespace {

// With 5 and more, some of the shortest expressions fall into either split.
constexpr int kMinModulus = 5;
constexpr int kMaxModulus = 997;
constexpr int kMaxLength = 1000;
constexpr char kOperations[] = "+-*";

bool is_prime(int n) {
  for (int i = 2; i * i <= n; ++i) {
    if (n % i == 0) return false;
  }
  return true;
}

// Appends an expression and returns its value.
int draw(const ManoVocabulary& vocabulary, int length, Rng& rng, std::vector<int32_t>& ids) {
  if (length == 0) {
    const auto value = static_cast<int>(rng.below(static_cast<uint32_t>(vocabulary.modulus)));
    ids.push_back(vocabulary.number(value));
    return value;
  }
  const auto operation = static_cast<int>(rng.below(3));
  ids.push_back(vocabulary.operation(operation));
  const auto left_length = static_cast<int>(rng.below(static_cast<uint32_t>(length)));
  const int left = draw(vocabulary, left_length, rng, ids);
  const int right = draw(vocabulary, length - 1 - left_length, rng, ids);
  const int p = vocabulary.modulus;
  switch (kOperations[operation]) {
    case '+':
      return (left + right) % p;
    case '-':
      return (left - right + p) % p;
    default:
      return left * right % p;
  }
}

// Streams of random numbers: of an example by length and index, of a document's length by index.
constexpr uint64_t kLengthStream = uint64_t{1} << 63;
uint64_t example_stream(int length, uint64_t index) {
  return (static_cast<uint64_t>(length) << 48) + index;
}

}  // namespace

Status check(const ManoOptions& o) {
  if (o.modulus < kMinModulus || o.modulus > kMaxModulus || !is_prime(o.modulus)) {
    return invalid_argument(fmt::format("mano: modulus {}; expected a prime from {} to {}",
                                        o.modulus, kMinModulus, kMaxModulus));
  }
  if (o.max_length < 1 || o.max_length > kMaxLength) {
    return invalid_argument(
        fmt::format("mano: max_length {}; expected 1..{}", o.max_length, kMaxLength));
  }
  if (o.documents_per_length < 0) {
    return invalid_argument(
        fmt::format("mano: documents_per_length {}; expected 0 or more", o.documents_per_length));
  }
  return {};
}

std::string ManoVocabulary::text(const std::vector<int32_t>& ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (!text.empty()) text += ' ';
    if (id < number(0)) {
      text += kOperations[id];
    } else if (id < begin()) {
      text += std::to_string(id - number(0));
    } else if (id == begin()) {
      text += "<bos>";
    } else if (id == answer()) {
      text += "<ans>";
    } else {
      text += fmt::format("<len_{}>", id - length(0));
    }
  }
  return text;
}

ManoSplit mano_split(const std::vector<int32_t>& ids) {
  return is_held_out(fnv1a(ids)) ? ManoSplit::kHeldOut : ManoSplit::kTrain;
}

ManoExample mano_example(const ManoOptions& options, int length, uint64_t index) {
  LOOPLM_CHECK(length >= 1 && length <= options.max_length, "length {} of {}", length,
               options.max_length);
  const ManoVocabulary vocabulary{options.modulus, options.max_length};
  Rng rng(options.seed, example_stream(length, index));
  ManoExample example;
  example.length = length;
  do {
    example.ids = {vocabulary.begin(), vocabulary.length(length)};
    const int value = draw(vocabulary, length, rng, example.ids);
    example.ids.push_back(vocabulary.answer());
    example.ids.push_back(vocabulary.number(value));
  } while (mano_split(example.ids) != options.split);
  return example;
}

ManoStream::ManoStream(const ManoOptions& options) : options_(options) {
  LOOPLM_CHECK(check(options).ok(), "{}", check(options).message());
}

int64_t ManoStream::vocab_size() const {
  return ManoVocabulary{options_.modulus, options_.max_length}.size();
}

uint64_t ManoStream::hash() const {
  uint64_t hash = options_.seed;
  for (const int64_t value :
       {int64_t{options_.modulus}, int64_t{options_.max_length}, options_.documents_per_length,
        int64_t{options_.learn_all_tokens}, static_cast<int64_t>(options_.split)}) {
    const PhiloxBlock block = philox(hash, 0, static_cast<uint64_t>(value));
    hash = (uint64_t{block[0]} << 32) | block[1];
  }
  return hash;
}

int ManoStream::longest_at(uint64_t index) const {
  if (options_.documents_per_length == 0) return options_.max_length;
  const uint64_t grown = index / static_cast<uint64_t>(options_.documents_per_length);
  const auto most = static_cast<uint64_t>(options_.max_length - 1);
  return 1 + static_cast<int>(grown < most ? grown : most);
}

void ManoStream::document(uint64_t index, std::vector<int32_t>& ids,
                          std::vector<bool>& learnt) const {
  Rng rng(options_.seed, kLengthStream + index);
  const int length = 1 + static_cast<int>(rng.below(static_cast<uint32_t>(longest_at(index))));
  ids = mano_example(options_, length, index).ids;
  learnt.assign(ids.size(), options_.learn_all_tokens);
  learnt.front() = false;
  learnt.back() = true;
}

Status write_mano_shard(const ManoOptions& options, int length, int64_t examples,
                        const std::string& path) {
  LOOPLM_RETURN_IF_ERROR(check(options));
  ManoOptions held_out = options;
  held_out.split = ManoSplit::kHeldOut;
  const ManoVocabulary vocabulary{options.modulus, options.max_length};
  return write_answer_shard(path, vocabulary.size(), examples, [&](int64_t i) {
    return mano_example(held_out, length, static_cast<uint64_t>(i)).ids;
  });
}

}  // namespace looplm

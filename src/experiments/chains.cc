#include "experiments/chains.h"

#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/rng.h"

namespace looplm {
namespace {

constexpr int kNames = 26;
constexpr int kModulus = 10;
constexpr uint64_t kHeldOutShare = 16;  // one in so many

struct Statement {
  std::string text;  // "q+4=b"
  char name;
  int value;
};

int combine(int left, char operation, int right) {
  switch (operation) {
    case '+':
      return (left + right) % kModulus;
    case '-':
      return (left - right + kModulus) % kModulus;
    default:
      return left * right % kModulus;
  }
}

// Statements that build on one another, the first one a digit.
std::vector<Statement> chain(Rng& rng, const char* names, int statements) {
  std::vector<Statement> chain;
  for (int i = 0; i < statements; ++i) {
    const int digit = static_cast<int>(rng.below(kModulus));
    if (i == 0) {
      chain.push_back({fmt::format("{}={}", digit, names[i]), names[i], digit});
      continue;
    }
    const char operation = "+-*"[rng.below(3)];
    const Statement& before = chain.back();
    chain.push_back({fmt::format("{}{}{}={}", before.name, operation, digit, names[i]), names[i],
                     combine(before.value, operation, digit)});
  }
  return chain;
}

// Both chains in their own order, every interleaving equally likely.
std::string interleave(Rng& rng, const std::vector<Statement>& a, const std::vector<Statement>& b) {
  std::string text;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    const auto left_a = static_cast<uint32_t>(a.size() - i);
    const auto left_b = static_cast<uint32_t>(b.size() - j);
    const bool from_a = rng.below(left_a + left_b) < left_a;
    text += (from_a ? a[i++] : b[j++]).text;
    text += ';';
  }
  return text;
}

ChainExample draw(const ChainOptions& options, Rng& rng) {
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(rng.below(static_cast<uint32_t>(high - low + 1)));
  };
  ChainExample example;
  example.hops = between(options.min_hops, options.max_hops);
  const int distractors = between(0, options.max_distractors);

  std::array<char, kNames> names;
  for (int i = 0; i < kNames; ++i) names[i] = static_cast<char>('a' + i);
  for (uint32_t i = kNames - 1; i > 0; --i) std::swap(names[i], names[rng.below(i + 1)]);

  const std::vector<Statement> asked = chain(rng, names.data(), example.hops + 1);
  const std::vector<Statement> other = chain(rng, names.data() + asked.size(), distractors);
  example.prompt = interleave(rng, asked, other) + asked.back().name + '=';
  example.completion = std::to_string(asked.back().value);
  if (options.all_queries) {
    for (size_t i = asked.size() - 1; i-- > 0;) {
      example.completion += fmt::format(";{}={}", asked[i].name, asked[i].value);
    }
  }
  return example;
}

}  // namespace

Status check(const ChainOptions& o) {
  if (o.min_hops < 0 || o.max_hops < o.min_hops) {
    return invalid_argument(
        fmt::format("hops {}..{}: expected a range of numbers from 0 up", o.min_hops, o.max_hops));
  }
  if (o.max_distractors < 0) {
    return invalid_argument(
        fmt::format("distractors {}: expected a number from 0 up", o.max_distractors));
  }
  if (o.max_hops + 1 + o.max_distractors > kNames) {
    return invalid_argument(
        fmt::format("{} hops and {} distractors need {} names; expected at most {}, one per letter",
                    o.max_hops, o.max_distractors, o.max_hops + 1 + o.max_distractors, kNames));
  }
  return {};
}

ChainSplit chain_split(const std::string& prompt) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : prompt) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash ^= hash >> 32;  // the low bits of FNV-1a depend on the low bits of the text alone
  return hash % kHeldOutShare == 0 ? ChainSplit::kHeldOut : ChainSplit::kTrain;
}

ChainExample chain_example(const ChainOptions& options, uint64_t index) {
  Rng rng(options.seed, index);
  ChainExample example = draw(options, rng);
  while (chain_split(example.prompt) != options.split) example = draw(options, rng);
  return example;
}

}  // namespace looplm

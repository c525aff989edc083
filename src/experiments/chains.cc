#include "experiments/chains.h"

#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/rng.h"

namespace looplm {
namespace {

constexpr int kNames = 26;
constexpr int kModulus = 10;
constexpr uint64_t kHeldOutShare = 16;  // one in so many

struct Chain {
  std::vector<std::string> statements;  // "q+4=b;"
  char last;
  int value;
};

// Statements that build on one another, the first one a digit.
Chain make_chain(Rng& rng, const char* names, int hops) {
  const auto digit = [&] { return static_cast<int>(rng.below(kModulus)); };
  Chain chain = {{}, names[0], digit()};
  chain.statements.push_back(fmt::format("{}={};", chain.value, chain.last));
  for (int i = 1; i <= hops; ++i) {
    const uint32_t kind = rng.below(3);
    const int right = kind == 0 ? 0 : digit();
    const std::string operation =
        kind == 0 ? "" : fmt::format("{}{}", kind == 1 ? '+' : '-', right);
    chain.statements.push_back(fmt::format("{}{}={};", chain.last, operation, names[i]));
    chain.last = names[i];
    chain.value = (chain.value + (kind == 1 ? right : kModulus - right)) % kModulus;
  }
  return chain;
}

// Each chain in its own order, every interleaving equally likely.
std::string interleave(Rng& rng, const std::vector<Chain>& chains) {
  std::vector<uint32_t> left;
  for (const Chain& chain : chains) left.push_back(static_cast<uint32_t>(chain.statements.size()));
  std::string text;
  for (uint32_t all = std::accumulate(left.begin(), left.end(), 0u); all > 0; --all) {
    uint32_t drawn = rng.below(all);
    size_t from = 0;
    while (drawn >= left[from]) drawn -= left[from++];
    const std::vector<std::string>& statements = chains[from].statements;
    text += statements[statements.size() - left[from]--];
  }
  return text;
}

template <typename T>
void shuffle(Rng& rng, T& items) {
  for (size_t i = items.size() - 1; i > 0; --i) {
    std::swap(items[i], items[rng.below(static_cast<uint32_t>(i) + 1)]);
  }
}

ChainExample draw(const ChainOptions& options, Rng& rng) {
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(rng.below(static_cast<uint32_t>(high - low + 1)));
  };
  std::array<char, kNames> names;
  std::iota(names.begin(), names.end(), 'a');
  shuffle(rng, names);

  std::vector<Chain> chains;
  const char* unused = names.data();
  for (int n = between(1, options.max_chains); n > 0; --n) {
    const int hops = between(options.min_hops, options.max_hops);
    chains.push_back(make_chain(rng, unused, hops));
    unused += hops + 1;
  }
  std::string before = interleave(rng, chains);
  shuffle(rng, chains);
  if (!options.ask_all) chains.erase(chains.begin() + 1, chains.end());
  ChainExample example;
  for (const Chain& chain : chains) {
    example.questions.push_back({fmt::format("{}{}=", before, chain.last),
                                 std::to_string(chain.value),
                                 static_cast<int>(chain.statements.size()) - 1});
    before.assign(1, ';');
  }
  return example;
}

}  // namespace

Status check(const ChainOptions& o) {
  if (o.min_hops < 0 || o.max_hops < o.min_hops) {
    return invalid_argument(
        fmt::format("hops {}..{}: expected a range of numbers from 0 up", o.min_hops, o.max_hops));
  }
  if (o.max_chains < 1) {
    return invalid_argument(fmt::format("{} chains; expected at least 1", o.max_chains));
  }
  const int64_t names = int64_t{o.max_chains} * (int64_t{o.max_hops} + 1);
  if (names > kNames) {
    return invalid_argument(
        fmt::format("{} chains of {} hops need {} names; expected at most {}, one per letter",
                    o.max_chains, o.max_hops, names, kNames));
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
  while (chain_split(example.questions[0].prompt) != options.split) example = draw(options, rng);
  return example;
}

}  // namespace looplm

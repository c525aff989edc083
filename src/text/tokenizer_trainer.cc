#include "looplm/tokenizer_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <set>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

#include "base/check.h"
#include "base/json.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace looplm {
namespace {

constexpr int64_t kBytes = 256;
constexpr int64_t kLargestVocabulary = 1 << 20;
constexpr int64_t kProgressEvery = 100;

OrderedJson pre_tokenizer_json(const TokenizerTrainerOptions& options) {
  const OrderedJson byte_level = {{"type", "ByteLevel"},
                                  {"add_prefix_space", false},
                                  {"trim_offsets", true},
                                  {"use_regex", true}};
  if (!options.single_digits) return byte_level;
  const OrderedJson digits = {{"type", "Digits"}, {"individual_digits", true}};
  return {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({digits, byte_level})}};
}

using Pair = std::pair<int32_t, int32_t>;
struct PairHash {
  size_t operator()(const Pair& p) const {
    return (static_cast<uint64_t>(static_cast<uint32_t>(p.first)) << 32 |
            static_cast<uint32_t>(p.second)) *
           0x9E3779B97F4A7C15ULL;
  }
};

// Merges the most frequent pair of neighbours, as in Sennrich et al. (arXiv:1508.07909), with
// counts brought up to date only in the words that a merge touches.
class MergeLearner {
 public:
  void add_word(std::vector<int32_t> symbols, int64_t count) {
    words_.push_back({std::move(symbols), count});
  }

  void start() {
    for (size_t w = 0; w < words_.size(); ++w) count_pairs(w, 1);
    for (const auto& [pair, entry] : pairs_) offer(pair, entry.count);
  }

  // The pair to merge next: the highest count, then the lowest ids. Nothing when none is left.
  std::optional<Pair> best(int64_t min_frequency) {
    while (!queue_.empty()) {
      const auto [count, left, right] = queue_.top();
      const Pair pair{-left, -right};
      const int64_t now = forbidden_.count(pair) != 0 ? 0 : pairs_[pair].count;
      if (now == count) return count >= min_frequency ? std::optional(pair) : std::nullopt;
      queue_.pop();
      if (now > 0) offer(pair, now);
    }
    return std::nullopt;
  }

  void forbid(Pair pair) { forbidden_.insert(pair); }

  void merge(Pair pair, int32_t id) {
    std::vector<size_t> touched = std::move(pairs_[pair].words);
    std::sort(touched.begin(), touched.end());
    touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
    changed_.clear();
    for (size_t w : touched) {
      count_pairs(w, -1);
      std::vector<int32_t>& symbols = words_[w].symbols;
      size_t out = 0;
      for (size_t i = 0; i < symbols.size(); ++out) {
        const bool here =
            i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
        symbols[out] = here ? id : symbols[i];
        i += here ? 2 : 1;
      }
      symbols.resize(out);
      count_pairs(w, 1);
    }
    pairs_.erase(pair);
    for (const Pair& p : changed_) {
      const auto found = pairs_.find(p);
      if (found != pairs_.end() && found->second.count > 0) offer(p, found->second.count);
    }
  }

 private:
  struct Word {
    std::vector<int32_t> symbols;
    int64_t count;
  };
  struct PairEntry {
    int64_t count = 0;
    std::vector<size_t> words;  // that have it, or once had; some twice
  };

  void count_pairs(size_t w, int64_t sign) {
    const Word& word = words_[w];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const Pair pair{word.symbols[i], word.symbols[i + 1]};
      PairEntry& entry = pairs_[pair];
      entry.count += sign * word.count;
      if (sign > 0 && (entry.words.empty() || entry.words.back() != w)) entry.words.push_back(w);
      changed_.insert(pair);
    }
  }
  // A count that has changed leaves an old entry behind, which best() corrects or drops.
  void offer(Pair pair, int64_t count) { queue_.emplace(count, -pair.first, -pair.second); }

  std::vector<Word> words_;
  std::unordered_map<Pair, PairEntry, PairHash> pairs_;
  std::set<Pair> changed_;
  std::set<Pair> forbidden_;
  std::priority_queue<std::tuple<int64_t, int32_t, int32_t>> queue_;
};

Status check(const TokenizerTrainerOptions& o) {
  const int64_t least = kBytes + static_cast<int64_t>(o.special_tokens.size());
  if (o.vocab_size < least || o.vocab_size > kLargestVocabulary) {
    return invalid_argument(fmt::format(
        "the vocabulary size is {}; expected {} (256 bytes and the special tokens) to {}",
        o.vocab_size, least, kLargestVocabulary));
  }
  if (o.min_frequency < 1) {
    return invalid_argument(
        fmt::format("the least frequency is {}; expected at least 1", o.min_frequency));
  }
  std::set<std::string> seen;
  for (const std::string& token : o.special_tokens) {
    if (token.empty() || !is_utf8(token)) {
      return invalid_argument("a special token is empty or not UTF-8");
    }
    if (utf8_step(token).size == token.size() || !seen.insert(token).second) {
      return invalid_argument(
          fmt::format("special token '{}' is a single character or given twice", token));
    }
  }
  return {};
}

}  // namespace

struct TokenizerTrainer::State {
  TokenizerTrainerOptions options;
  PreTokenizer pre_tokenizer;
  std::unordered_map<std::string, int64_t> words;

  OrderedJson file(const std::vector<std::string>& vocabulary,
                   const std::vector<Pair>& merges) const;
};

TokenizerTrainer::TokenizerTrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenizerTrainer::TokenizerTrainer(TokenizerTrainer&&) noexcept = default;
TokenizerTrainer::~TokenizerTrainer() = default;

Result<TokenizerTrainer> TokenizerTrainer::create(const TokenizerTrainerOptions& options) {
  LOOPLM_RETURN_IF_ERROR(check(options));
  auto state = std::make_unique<State>();
  state->options = options;
  LOOPLM_ASSIGN_OR_RETURN(state->pre_tokenizer,
                          PreTokenizer::read(Json(pre_tokenizer_json(options))));
  return TokenizerTrainer(std::move(state));
}

void TokenizerTrainer::add(std::string_view text) {
  const std::string repaired = is_utf8(text) ? std::string(text) : repair_utf8(text);
  PreTokenizer::Cutter cutter(state_->pre_tokenizer);
  const Status status = cutter.cut(repaired);
  LOOPLM_CHECK(status.ok(), "the trainer's own pattern: {}", status.message());
  for (std::string_view word : cutter.words()) ++state_->words[std::string(word)];
}

Result<std::string> TokenizerTrainer::train(const std::function<void(int64_t)>& progress) {
  if (state_->words.empty()) return invalid_argument("no text to learn a vocabulary from");
  const TokenizerTrainerOptions& o = state_->options;
  const ByteLevel alphabet;
  std::vector<std::string> vocabulary = o.special_tokens;  // texts as in the file
  std::array<int32_t, kBytes> byte_ids{};
  // In the order of their characters, as the reference trainer does.
  std::vector<std::pair<uint32_t, size_t>> bytes;
  for (size_t b = 0; b < kBytes; ++b) {
    bytes.emplace_back(alphabet.character(static_cast<unsigned char>(b)), b);
  }
  std::sort(bytes.begin(), bytes.end());
  for (const auto& [character, byte] : bytes) {
    byte_ids[byte] = static_cast<int32_t>(vocabulary.size());
    utf8_append(vocabulary.emplace_back(), character);
  }

  MergeLearner learner;
  std::vector<std::pair<std::string, int64_t>> words(state_->words.begin(), state_->words.end());
  std::sort(words.begin(), words.end());
  for (const auto& [word, count] : words) {
    std::vector<int32_t> symbols;
    for (char byte : word) symbols.push_back(byte_ids[static_cast<unsigned char>(byte)]);
    learner.add_word(std::move(symbols), count);
  }
  learner.start();

  std::vector<Pair> merges;
  std::unordered_map<std::string, int32_t> ids;
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    ids.emplace(vocabulary[id], static_cast<int32_t>(id));
  }
  const auto specials = static_cast<int32_t>(o.special_tokens.size());
  while (static_cast<int64_t>(vocabulary.size()) < o.vocab_size) {
    const auto pair = learner.best(o.min_frequency);
    if (!pair) break;
    const std::string text = vocabulary[static_cast<size_t>(pair->first)] +
                             vocabulary[static_cast<size_t>(pair->second)];
    // Another pair may have made the same text: a text has one id. No merge makes a special token.
    const auto [known, fresh] = ids.emplace(text, static_cast<int32_t>(vocabulary.size()));
    if (known->second < specials) {
      learner.forbid(*pair);
      continue;
    }
    if (fresh) vocabulary.push_back(text);
    learner.merge(*pair, known->second);
    merges.push_back(*pair);
    if (progress && fresh && static_cast<int64_t>(vocabulary.size()) % kProgressEvery == 0) {
      progress(static_cast<int64_t>(vocabulary.size()));
    }
  }
  return dump_json(state_->file(vocabulary, merges), 1) + "\n";
}

OrderedJson TokenizerTrainer::State::file(const std::vector<std::string>& vocabulary,
                                          const std::vector<Pair>& merges) const {
  OrderedJson added = OrderedJson::array();
  for (size_t i = 0; i < options.special_tokens.size(); ++i) {
    added.push_back({{"id", i},
                     {"content", options.special_tokens[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  OrderedJson::object_t vocab;  // appended to without the look-up of operator[], which is linear
  vocab.reserve(vocabulary.size());
  for (size_t id = 0; id < vocabulary.size(); ++id) vocab.push_back({vocabulary[id], id});
  OrderedJson pairs = OrderedJson::array();
  for (const auto& [left, right] : merges) {
    pairs.push_back(vocabulary[static_cast<size_t>(left)] + " " +
                    vocabulary[static_cast<size_t>(right)]);
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer_json(options)},
          {"post_processor", nullptr},
          {"decoder",
           {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", std::move(vocab)},
            {"merges", std::move(pairs)}}}};
}

}  // namespace looplm

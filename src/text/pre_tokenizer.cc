#include "text/pre_tokenizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/unicode.h"
#include "text/utf8.h"

namespace looplm {
namespace {

// GPT-2's pattern (openai/gpt-2, encoder.py), which ByteLevel stands for.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr size_t kMostSteps = 16;

Result<SplitBehavior> read_behavior(const Json& node) {
  LOOPLM_ASSIGN_OR_RETURN(const std::string name, json_string(node, "behavior", ""));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return invalid_argument(
      fmt::format("behavior is '{}'; expected Removed, Isolated, MergedWithPrevious, "
                  "MergedWithNext or Contiguous",
                  name));
}

Result<Regex> read_pattern(const Json& node) {
  const auto pattern = node.find("pattern");
  if (pattern != node.end() && pattern->is_object() && pattern->size() == 1) {
    for (const char* kind : {"Regex", "String"}) {
      if (!pattern->contains(kind) || !(*pattern)[kind].is_string()) continue;
      const auto text = (*pattern)[kind].get<std::string>();
      return kind[0] == 'R' ? Regex::compile(text) : Regex::literal(text);
    }
  }
  return invalid_argument(R"(Split has no pattern; expected {"Regex": ...} or {"String": ...})");
}

Status read_steps(const Json& node, std::vector<PreTokenizerStep>& steps) {
  if (!node.is_object()) {
    return unsupported("no pre_tokenizer; expected a byte-level one (ByteLevel)");
  }
  if (steps.size() >= kMostSteps) {
    return unsupported(fmt::format("more than {} pre-tokenizer steps", kMostSteps));
  }
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(node, "type", ""));
  PreTokenizerStep step;
  if (type == "Sequence") {
    const auto list = node.find("pretokenizers");
    if (list == node.end() || !list->is_array()) {
      return invalid_argument("a Sequence without a list 'pretokenizers'");
    }
    for (const Json& child : *list) LOOPLM_RETURN_IF_ERROR(read_steps(child, steps));
    return {};
  }
  if (type == "Digits") {
    step.kind = PreTokenizerStep::Kind::kDigits;
    LOOPLM_ASSIGN_OR_RETURN(const bool individual, json_bool(node, "individual_digits", false));
    step.behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  } else if (type == "Split") {
    step.kind = PreTokenizerStep::Kind::kSplit;
    LOOPLM_ASSIGN_OR_RETURN(step.behavior, read_behavior(node));
    LOOPLM_ASSIGN_OR_RETURN(step.invert, json_bool(node, "invert", false));
    LOOPLM_ASSIGN_OR_RETURN(step.regex, read_pattern(node));
  } else if (type == "ByteLevel") {
    LOOPLM_ASSIGN_OR_RETURN(step.add_prefix_space, json_bool(node, "add_prefix_space", true));
    LOOPLM_ASSIGN_OR_RETURN(const bool use_regex, json_bool(node, "use_regex", true));
    if (use_regex) {
      LOOPLM_ASSIGN_OR_RETURN(step.regex, Regex::compile(kByteLevelPattern));
    }
  } else {
    return unsupported(fmt::format(
        "pre-tokenizer '{}'; looplm knows Sequence, Digits, Split and ByteLevel", type));
  }
  if (!steps.empty() && steps.back().kind == PreTokenizerStep::Kind::kByteLevel) {
    return unsupported("a pre-tokenizer step after ByteLevel");
  }
  steps.push_back(std::move(step));
  return {};
}

}  // namespace

Result<PreTokenizer> PreTokenizer::read(const Json& node) {
  PreTokenizer pre_tokenizer;
  const Status status = read_steps(node, pre_tokenizer.steps_);
  if (!status.ok()) return status.with_context("pre_tokenizer");
  const auto& steps = pre_tokenizer.steps_;
  if (steps.empty() || steps.back().kind != PreTokenizerStep::Kind::kByteLevel) {
    return unsupported("pre_tokenizer: does not end with ByteLevel, so this is not byte-level BPE");
  }
  return pre_tokenizer;
}

PreTokenizer::Cutter::Cutter(const PreTokenizer& pre_tokenizer)
    : pre_tokenizer_(pre_tokenizer), matchers_(pre_tokenizer.steps_.size()) {
  for (size_t i = 0; i < matchers_.size(); ++i) {
    if (pre_tokenizer.steps_[i].regex) matchers_[i].emplace(*pre_tokenizer.steps_[i].regex);
  }
}

Status PreTokenizer::Cutter::cut(std::string_view text) {
  words_.clear();
  prefixed_.clear();
  if (!text.empty()) words_.push_back(text);
  for (size_t i = 0; i < matchers_.size(); ++i) LOOPLM_RETURN_IF_ERROR(run_step(i));
  return {};
}

Status PreTokenizer::Cutter::run_step(size_t index) {
  const PreTokenizerStep& step = pre_tokenizer_.steps_[index];
  next_.clear();
  if (step.add_prefix_space) {
    prefixed_.reserve(words_.size());  // views into its strings must stay good
    for (std::string_view& word : words_) {
      if (word.front() == ' ') continue;
      word = prefixed_.emplace_back(fmt::format(" {}", word));
    }
  }
  if (step.kind == PreTokenizerStep::Kind::kByteLevel && !step.regex) return {};
  for (std::string_view piece : words_) {
    LOOPLM_RETURN_IF_ERROR(find_parts(index, piece));
    put_parts(step, piece);
  }
  words_.swap(next_);
  return {};
}

// Cuts a piece into parts that match and parts that do not.
Status PreTokenizer::Cutter::find_parts(size_t index, std::string_view piece) {
  const PreTokenizerStep& step = pre_tokenizer_.steps_[index];
  parts_.clear();
  size_t done = 0;
  const auto put_match = [&](size_t begin, size_t end) {
    if (begin > done) parts_.push_back({done, begin, step.invert});
    parts_.push_back({begin, end, !step.invert});  // may be empty, and then only steers merging
    done = end;
  };
  if (step.kind == PreTokenizerStep::Kind::kDigits) {
    for (size_t i = 0; i < piece.size();) {
      const auto lead = static_cast<unsigned char>(piece[i]);
      const size_t size = lead < 0x80 ? 1 : utf8_step(piece.substr(i)).size;
      const uint32_t c = size == 1 ? lead : utf8_decode(piece.substr(i, size));
      if (is_numeric(c)) put_match(i, i + size);
      i += size;
    }
  } else {
    size_t from = 0;
    size_t begin = 0;
    size_t end = 0;
    size_t last_end = std::string_view::npos;
    while (from <= piece.size()) {
      LOOPLM_ASSIGN_OR_RETURN(const bool found, matchers_[index]->find(piece, from, &begin, &end));
      if (!found) break;
      if (begin == end && end == last_end) {  // an empty match where the last one ended
        from += from < piece.size() ? utf8_step(piece.substr(from)).size : 1;
        continue;
      }
      put_match(begin, end);
      from = last_end = end;
    }
  }
  if (done < piece.size()) parts_.push_back({done, piece.size(), step.invert});
  return {};
}

void PreTokenizer::Cutter::put_parts(const PreTokenizerStep& step, std::string_view piece) {
  const auto put = [&](const Part& part) {
    if (part.end > part.begin) next_.push_back(piece.substr(part.begin, part.end - part.begin));
  };
  switch (step.behavior) {
    case SplitBehavior::kIsolated:
      for (const Part& part : parts_) put(part);
      return;
    case SplitBehavior::kRemoved:
      for (const Part& part : parts_) {
        if (!part.match) put(part);
      }
      return;
    case SplitBehavior::kMergedWithPrevious:
    case SplitBehavior::kContiguous: {
      merged_.clear();
      bool previous = false;
      for (const Part& part : parts_) {
        const bool joins = step.behavior == SplitBehavior::kContiguous ? part.match == previous
                                                                       : part.match && !previous;
        if (joins && !merged_.empty()) {
          merged_.back().end = part.end;
        } else {
          merged_.push_back(part);
        }
        previous = part.match;
      }
      for (const Part& part : merged_) put(part);
      return;
    }
    case SplitBehavior::kMergedWithNext: {
      merged_.clear();
      bool previous = false;
      for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
        if (part->match && !previous && !merged_.empty()) {
          merged_.back().begin = part->begin;
        } else {
          merged_.push_back(*part);
        }
        previous = part->match;
      }
      for (auto part = merged_.rbegin(); part != merged_.rend(); ++part) put(*part);
      return;
    }
  }
}

}  // namespace looplm

#include "eval/extractor.h"

#include "eval/answer_text.h"
#include "eval/numbers.h"

namespace looplm {
namespace {

std::string stripped(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

Result<std::optional<std::string>> find_pattern(const Regex& regex, Take take,
                                                const std::string& text) {
  Regex::Matcher matcher(regex);
  std::optional<std::string> answer;
  size_t begin = 0, end = 0;
  for (size_t from = 0; from <= text.size();) {
    LOOPLM_ASSIGN_OR_RETURN(const bool found, matcher.find(text, from, &begin, &end));
    if (!found) break;
    size_t group_begin = begin, group_end = end;
    for (size_t g = 1; g <= regex.groups(); ++g) {
      if (matcher.group(g, &group_begin, &group_end)) break;
    }
    answer = stripped(text.substr(group_begin, group_end - group_begin));
    if (take == Take::kFirst) break;
    from = end;
    if (end == begin) {
      // Past an empty match, to the next character.
      do ++from;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80);
    }
  }
  return answer;
}

}  // namespace

Result<Extractor> Extractor::pattern(const std::string& pattern, Take take) {
  LOOPLM_ASSIGN_OR_RETURN(Regex regex, Regex::compile(pattern));
  Extractor e;
  e.kind_ = ExtractorKind::kPattern;
  e.take_ = take;
  e.regex_ = std::make_shared<const Regex>(std::move(regex));
  return e;
}

Extractor Extractor::number(Take take) {
  Extractor e;
  e.kind_ = ExtractorKind::kNumber;
  e.take_ = take;
  return e;
}

Extractor Extractor::boxed() {
  Extractor e;
  e.kind_ = ExtractorKind::kBoxed;
  return e;
}

Extractor Extractor::first_of(std::vector<Extractor> ways) {
  Extractor e;
  e.kind_ = ExtractorKind::kFirstOf;
  e.ways_ = std::move(ways);
  return e;
}

Result<std::optional<std::string>> Extractor::find(const std::string& text) const {
  using Answer = std::optional<std::string>;
  switch (kind_) {
    case ExtractorKind::kWhole:
      return Answer(stripped(text));
    case ExtractorKind::kPattern:
      return find_pattern(*regex_, take_, text);
    case ExtractorKind::kNumber: {
      const std::vector<FoundNumber> found = numbers_in(text);
      if (found.empty()) return Answer();
      const FoundNumber& number = take_ == Take::kFirst ? found.front() : found.back();
      return Answer(text.substr(number.begin, number.end - number.begin));
    }
    case ExtractorKind::kBoxed:
      return last_boxed(text);
    case ExtractorKind::kFirstOf:
      for (const Extractor& way : ways_) {
        LOOPLM_ASSIGN_OR_RETURN(Answer answer, way.find(text));
        if (answer) return answer;
      }
      return Answer();
  }
  return Answer();
}

}  // namespace looplm

// Finding the answer in what a model has written.
#ifndef LOOPLM_EVAL_EXTRACTOR_H_
#define LOOPLM_EVAL_EXTRACTOR_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "text/regex.h"

namespace looplm {

enum class ExtractorKind {
  kWhole,    // the text, without spaces at the ends
  kPattern,  // a group of a regular expression's match, or the match
  kNumber,   // a number with its sign, currency mark and commas
  kBoxed,    // the contents of the last \boxed{}
  kFirstOf,  // of several extractors, the first that finds something
};

// Which of several; a \boxed{} is always the last.
enum class Take { kFirst, kLast };

class Extractor {
 public:
  Extractor() = default;  // kWhole
  // A pattern in the tokenizer files' dialect (text/regex.h): ^ and $ stand at every line, and a
  // point does not match the line's end. Takes the first group that matched, and the match where
  // the pattern has none.
  static Result<Extractor> pattern(const std::string& pattern, Take take);
  static Extractor number(Take take);
  static Extractor boxed();
  static Extractor first_of(std::vector<Extractor> ways);

  // None where the text holds no answer. Fails when the pattern needs too many steps.
  Result<std::optional<std::string>> find(const std::string& text) const;

 private:
  ExtractorKind kind_ = ExtractorKind::kWhole;
  Take take_ = Take::kFirst;
  std::shared_ptr<const Regex> regex_;
  std::vector<Extractor> ways_;
};

}  // namespace looplm

#endif  // LOOPLM_EVAL_EXTRACTOR_H_

// Texts with places for the fields of a record: "Question: {{question}}\nAnswer:".
//
//   {{name}}        a field's value; `choices.text.0` goes into objects and lists
//   {{name|filter}} changed by filters, from left to right; an argument stands after a colon
//
//   strip upper lower capitalize   of text
//   words                          underscores as spaces
//   before:X after:X               of the first X; it must be there
//   before?:X after?:X             the same; all and nothing where there is none
//   last_word but_last_word        what stands after and before the last space
//   lettered                       a list as lines "A. first", "B. second"
//   join:X                         a list, with X between
//   count                          a list's length
//   json                           any value as JSON
#ifndef LOOPLM_EVAL_TEXT_TEMPLATE_H_
#define LOOPLM_EVAL_TEXT_TEMPLATE_H_

#include <string>
#include <vector>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// A value within a record; null where there is none.
const Json* find_field(const Json& record, const std::string& path);

// Text as it is, numbers and truth values as JSON writes them. Fails on other types.
Result<std::string> field_text(const Json& value, const std::string& name);

// "A", "B", ... "Z", "AA", ...
std::string choice_letter(size_t index);

class TextTemplate {
 public:
  TextTemplate() = default;
  // Fails on braces that do not close, names that are empty, and unknown filters.
  static Result<TextTemplate> parse(const std::string& text);

  // Fails on a missing field, and a value that the filter cannot take.
  Result<std::string> render(const Json& record) const;

  const std::string& source() const { return source_; }
  bool empty() const { return source_.empty(); }

 private:
  struct Filter {
    std::string name;
    std::string argument;
  };
  struct Part {
    std::string literal;  // before the place
    std::string field;    // empty: none follows
    std::vector<Filter> filters;
  };
  static Result<Filter> parse_filter(const std::string& text);
  static Status apply(const Filter& filter, const std::string& field, Json& value);

  std::string source_;
  std::vector<Part> parts_;
};

}  // namespace looplm

#endif  // LOOPLM_EVAL_TEXT_TEMPLATE_H_

// A depth table for people and for programs.
#ifndef LOOPLM_EVAL_REPORT_H_
#define LOOPLM_EVAL_REPORT_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "eval/depth_table.h"
#include "eval/text_table.h"

namespace looplm {

// The same measure for examples that share the value of a field.
struct EvalGroup {
  std::string value;
  DepthTable table;
};

// Columns lined up for a terminal, intervals in brackets.
std::string depth_table_text(const DepthTable& table);
std::string depth_table_markdown(const DepthTable& table);
OrderedJson depth_table_json(const DepthTable& table);

// Accuracy of each group at each fixed depth, and the mean loops of q-exit at each threshold.
std::string group_table_text(const std::string& field, const std::vector<EvalGroup>& groups,
                             TableFormat format);

}  // namespace looplm

#endif  // LOOPLM_EVAL_REPORT_H_

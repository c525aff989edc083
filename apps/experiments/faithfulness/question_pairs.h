// Files of question pairs in the layout of Quora Question Pairs: tab-separated, with a header line
// id, qid1, qid2, question1, question2, is_duplicate.
#ifndef LOOPLM_EXPERIMENTS_FAITHFULNESS_QUESTION_PAIRS_H_
#define LOOPLM_EXPERIMENTS_FAITHFULNESS_QUESTION_PAIRS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/status.h"

namespace looplm {

struct QuestionPair {
  std::string question1;
  std::string question2;
  bool duplicate = false;
};

// Columns are found by their names. A field that begins with a quotation mark ends with one, and
// may hold tabs, line ends and doubled quotation marks. Errors name the source and the record.
// Reads at most `limit` pairs; 0: all.
Result<std::vector<QuestionPair>> parse_question_pairs(std::string_view text, int64_t limit,
                                                       const std::string& what);
Result<std::vector<QuestionPair>> read_question_pairs(const std::string& path, int64_t limit);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_FAITHFULNESS_QUESTION_PAIRS_H_

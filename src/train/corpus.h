// Documents from files of text, one at a time.
//
//   *.jsonl    one object per line: {"text": ...}, or {"prompt": ..., "completion": ...}; other
//              fields are ignored
//   otherwise  plain UTF-8 text, cut as asked
#ifndef LOOPLM_TRAIN_CORPUS_H_
#define LOOPLM_TRAIN_CORPUS_H_

#include <functional>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

// What is one document of a plain text file.
enum class TextSplit {
  kParagraph,  // lines between blank lines
  kLine,
  kFile,
};

struct CorpusDocument {
  std::string_view prompt;  // read, but not learnt; empty in plain text
  std::string_view text;
};

// Calls `visit` with each document that is not empty, in the file's order; the views last until it
// returns. Stops at the first error, of the file or of `visit`; errors name the file and the line.
Status read_corpus(const std::string& path, TextSplit split,
                   const std::function<Status(const CorpusDocument&)>& visit);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_CORPUS_H_

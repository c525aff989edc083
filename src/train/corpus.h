// Documents from files of text, one at a time.
//
//   *.jsonl    one object per line; other fields are ignored:
//                {"text": ...}
//                {"prompt": ..., "completion": ...}
//                {"turns": [{"prompt": ..., "completion": ...}, ...]}
//   otherwise  plain UTF-8 text, cut as asked
#ifndef LOOPLM_TRAIN_CORPUS_H_
#define LOOPLM_TRAIN_CORPUS_H_

#include <functional>
#include <string>
#include <vector>

#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "base/json.h"

namespace looplm {

// What is one document of a plain text file.
enum class TextSplit {
  kParagraph,  // lines between blank lines
  kLine,
  kFile,
};

// Part of a document: prompts are only read, the rest is learnt.
struct CorpusSegment {
  std::string text;
  bool learnt = true;
};
using CorpusDocument = std::vector<CorpusSegment>;

// Calls `visit` with each document that is not empty, in the file's order. Stops at the first
// error, of the file or of `visit`; errors name the file and the line.
Status read_corpus(const std::string& path, TextSplit split,
                   const std::function<Status(CorpusDocument)>& visit);

// A document as it is learnt and measured.
struct DocumentIds {
  std::vector<int32_t> ids;
  std::vector<bool> learnt;  // per id
};
// Each segment is tokenised apart, and special tokens written in it are read as plain text. In
// front stands what the tokenizer puts in front of a prompt, not learnt. Nothing is put behind.
// `lost_bytes` as in EncodeOptions.
Result<DocumentIds> encode_document(const CorpusDocument& document, const Tokenizer& tokenizer,
                                    int64_t* lost_bytes = nullptr);

// The document of one line's object, empty segments included; `where` names it in messages.
Result<CorpusDocument> corpus_document(const Json& object, const std::string& where);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_CORPUS_H_

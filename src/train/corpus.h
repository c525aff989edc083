// Documents from files of text, one at a time.
//
//   *.jsonl    (or .ndjson) one object per line; other fields are ignored, null ones are none:
//                {"text": ...}
//                {"prompt": ..., "completion": ...}, texts or lists of messages
//                {"turns": [{"prompt": ..., "completion": ...}, ...]}
//                {"messages": [{"role": ..., "content": ...}, ...], "tools": [...]}
//                {"conversations": [{"from": ..., "value": ...}, ...]}
//                {"prompt": ..., "chosen": ..., "rejected": ...}, texts or lists of messages
//   otherwise  plain UTF-8 text, cut as asked
// Either may be packed (text/unpacked_file.h): chats.jsonl.gz.
#ifndef LOOPLM_TRAIN_CORPUS_H_
#define LOOPLM_TRAIN_CORPUS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/chat.h"
#include "looplm/status.h"
#include "looplm/tokenizer.h"

#include "base/json.h"
#include "base/named.h"

namespace looplm {

// What is one document of a plain text file.
enum class TextSplit {
  kParagraph,  // lines between blank lines
  kLine,
  kFile,
};
inline constexpr NameTable<TextSplit, 3> kTextSplitNames = {
    {{TextSplit::kParagraph, "paragraph"}, {TextSplit::kLine, "line"}, {TextSplit::kFile, "file"}}};

// Part of a document: prompts are only read, the rest is learnt.
struct CorpusSegment {
  std::string text;
  bool learnt = true;
  // A chat template's own words: special tokens in them are read as such. A document with any is a
  // rendered chat, in front of which nothing is put.
  bool of_template = false;
  // Of the rejected answer, and its prompt: a preference pair is two documents in one.
  bool of_rejected = false;
  // Of the first segment of a chat: a turn to learn has reasoning that the template does not write.
  bool lacks_reasoning = false;
};
using CorpusDocument = std::vector<CorpusSegment>;

struct CorpusOptions {
  TextSplit split = TextSplit::kParagraph;
  // Hears why a document cannot be read; if it returns OK, reading goes on with the next one.
  // Empty: the first such document is the error.
  std::function<Status(const Status& why)> on_bad{};
  // Hears of each object that has no text in any field, and is therefore no document.
  std::function<void()> on_empty{};
  // Renders chats; why there is none is the error of the first chat. Null: chats are errors.
  const Result<ChatTemplate>* chat = nullptr;
};

// Calls `visit` with each document that is not empty, in the file's order, and the line it begins
// in. Bad documents are objects of another form, broken JSON, and text that is not UTF-8 or has
// zero bytes, as UTF-16 and binary files have, or \u0000 in JSON. Stops at the first error, of the
// file, of `on_bad` or of `visit`; errors name the file and the line. A byte order mark of UTF-8 is
// no text.
Status read_corpus(const std::string& path, const CorpusOptions& options,
                   const std::function<Status(CorpusDocument, int64_t line)>& visit);

// A document as it is learnt and measured.
struct DocumentIds {
  std::vector<int32_t> ids;
  std::vector<bool> learnt;  // per id
  // Ids that end a learnt stretch of a chat's turn which goes on: another one follows before any
  // word of the conversation.
  std::vector<size_t> parts{};
};
// A rendered chat is tokenised as a whole (encode_chat). What is learnt of an answer includes the
// special token behind it, and white space before that, where it has none of its own. Otherwise
// each segment is tokenised apart, and special tokens written in it are read as plain text. In
// front stands what the tokenizer puts in front of a prompt, not learnt. Nothing is put behind.
// `lost_bytes` as in EncodeOptions.
Result<DocumentIds> encode_document(const CorpusDocument& document, const Tokenizer& tokenizer,
                                    int64_t* lost_bytes = nullptr);
// Puts `end_token` behind a rendered chat whose last answer has no token that ends it.
void add_end(const Tokenizer& tokenizer, int32_t end_token, DocumentIds& document);
// Whether an answer of a rendered chat is learnt without a token that ends it. Two answers without
// a word of the conversation between them count as one.
bool lacks_end(const Tokenizer& tokenizer, const DocumentIds& document);
bool is_json_lines(const std::string& path);  // by its name
bool is_rendered_chat(const CorpusDocument& document);
// The two documents of a preference pair; the second is empty for any other document.
std::array<CorpusDocument, 2> answers_of(const CorpusDocument& document);

// The document of one line of JSON, empty segments included; `where` names it in messages, `chat`
// is as in CorpusOptions. Lines of more than 32 MiB are refused, and answers that were judged bad
// if the line is to be learnt from.
Result<CorpusDocument> corpus_line(std::string_view line, const std::string& where,
                                   const Result<ChatTemplate>* chat, bool learns = true);

}  // namespace looplm

#endif  // LOOPLM_TRAIN_CORPUS_H_

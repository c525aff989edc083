#include "train/corpus.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "text/lines.h"
#include "text/tokenizer_parts.h"
#include "text/unpacked_file.h"
#include "text/utf8.h"
#include "train/chat_example.h"

namespace looplm {
namespace {

// Of a line of JSON: reading one takes some twenty times its size.
constexpr size_t kMostLineBytes = size_t{32} << 20;

constexpr const char* kDocumentFields =
    "'text', 'prompt' and 'completion', 'turns', 'messages', 'conversations', or 'instruction' and "
    "'output'";
constexpr const char* kPreferenceFields = "'prompt', 'chosen' and 'rejected'";

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

Result<std::string> string_field(const Json& object, const char* name, const std::string& where,
                                 const char* expected = kDocumentFields) {
  const auto field = object.find(name);
  if (field == object.end()) {
    constexpr size_t kMost = 12;
    std::string others;
    size_t listed = 0;
    for (const auto& [key, value] : object.items()) {
      if (++listed > kMost) break;
      others += (others.empty() ? "; it has '" : ", '") + key + "'";
    }
    if (listed > kMost) others += fmt::format(" and {} more", object.size() - kMost);
    return invalid_argument(
        fmt::format("{}: no field '{}'; expected {}{}", where, name, expected, others));
  }
  if (!field->is_string()) {
    return invalid_argument(
        fmt::format("{}: field '{}' is {}; expected a string", where, name, shown_json(*field)));
  }
  return field->get<std::string>();
}

// What is only read where a template renders a chat.
Status check_plain(const Json& object, const std::string& where) {
  for (const char* key : {"system", "system_prompt", "tools", "chat_template_kwargs"}) {
    const Json field = object.value(key, Json());
    if (field.is_null() || field == "" || (field.is_structured() && field.empty())) continue;
    return invalid_argument(fmt::format(
        "{}: a field '{}' beside texts, to which no chat template is applied, would be lost; "
        "expected lists of messages",
        where, key));
  }
  return {};
}

Status add_turn(const Json& turn, const std::string& where, const char* expected,
                CorpusDocument& document) {
  if (!turn.is_object()) {
    return invalid_argument(fmt::format("{}: {}; expected a JSON object", where, shown_json(turn)));
  }
  LOOPLM_RETURN_IF_ERROR(check_plain(turn, where));
  LOOPLM_ASSIGN_OR_RETURN(std::string prompt, string_field(turn, "prompt", where, expected));
  LOOPLM_ASSIGN_OR_RETURN(std::string completion,
                          string_field(turn, "completion", where, expected));
  document.push_back({std::move(prompt), false});
  document.push_back({std::move(completion), true});
  return {};
}

// A preference between two texts.
Result<CorpusDocument> preference_document(const Json& object, const std::string& where) {
  const auto field = [&](const char* name) {
    return string_field(object, name, where, kPreferenceFields);
  };
  LOOPLM_RETURN_IF_ERROR(check_plain(object, where));
  LOOPLM_ASSIGN_OR_RETURN(const std::string prompt, field("prompt"));
  LOOPLM_ASSIGN_OR_RETURN(std::string chosen, field("chosen"));
  LOOPLM_ASSIGN_OR_RETURN(std::string rejected, field("rejected"));
  for (const auto& [name, answer] : {std::pair{"chosen", &chosen}, {"rejected", &rejected}}) {
    if (!is_blank(*answer)) continue;
    return invalid_argument(fmt::format("{}: field '{}' is empty", where, name));
  }
  if (chosen == rejected) {
    return invalid_argument(fmt::format("{}: 'chosen' and 'rejected' are the same", where));
  }
  return CorpusDocument{{prompt, false},
                        {std::move(chosen), true},
                        {.text = prompt, .learnt = false, .of_rejected = true},
                        {.text = std::move(rejected), .learnt = true, .of_rejected = true}};
}

// Files of columns have a null where a line has no such field.
template <typename J>
void remove_nulls(J& object) {
  for (auto it = object.begin(); it != object.end();) {
    it = it->is_null() ? object.erase(it) : std::next(it);
  }
}

// Again from its text, as templates see the order of a tool's keys.
Result<CorpusDocument> chat_document(std::string_view line, bool preference,
                                     const Result<ChatTemplate>* chat) {
  if (chat == nullptr) {
    return invalid_argument("a chat; expected 'text', 'prompt' and 'completion', or 'turns'");
  }
  LOOPLM_RETURN_IF_ERROR(chat->status());
  LOOPLM_ASSIGN_OR_RETURN(OrderedJson object, parse_ordered_json(line, "chat"));
  remove_nulls(object);
  return preference ? render_preference(object, chat->value())
                    : render_chat_example(object, chat->value());
}

// Of one document: UTF-8 without zero bytes.
Status check_document(std::string_view text, const std::string& where) {
  const size_t at = std::min(first_broken_utf8(text), text.find('\0'));
  if (at >= text.size()) return {};
  return invalid_argument(fmt::format("{}: byte {} (0x{:02X}) is not UTF-8 text", where, at,
                                      static_cast<unsigned char>(text[at])));
}

// Reads one file's documents.
class CorpusReader {
 public:
  using Visit = std::function<Status(CorpusDocument, int64_t line)>;

  CorpusReader(const std::string& path, const CorpusOptions& options, const Visit& visit)
      : path_(path), options_(options), visit_(visit) {}

  Status read() {
    const WholePart whole = [this](std::string_view text) {
      if (lines_of_json_ || options_.split == TextSplit::kLine) return whole_lines(text);
      return options_.split == TextSplit::kParagraph ? whole_paragraphs(text) : 0;
    };
    return read_text_parts(path_, whole, [this](std::string_view part) -> Result<bool> {
      LOOPLM_RETURN_IF_ERROR(read_part(part));
      return true;
    });
  }

 private:
  // Up to the last blank line.
  static size_t whole_paragraphs(std::string_view text) {
    for (size_t end = text.rfind('\n'); end != std::string_view::npos && end > 0;) {
      const size_t before = text.rfind('\n', end - 1);
      if (is_blank(text.substr(before + 1, end - before - 1))) return end + 1;
      end = before;
    }
    return 0;
  }

  Status read_part(std::string_view part) {
    if (!options_.on_bad) LOOPLM_RETURN_IF_ERROR(check_text(part).with_context(path_));
    const std::string_view text = place_.byte == 0 ? without_byte_order_mark(part) : part;
    LOOPLM_RETURN_IF_ERROR(read_documents(text));
    place_.pass(part);
    return {};
  }

  Status read_documents(std::string_view text) const {
    if (lines_of_json_) return read_json_lines(text);
    switch (options_.split) {
      case TextSplit::kParagraph:
        return read_paragraphs(text);
      case TextSplit::kLine:
        return read_lines(text);
      case TextSplit::kFile:
        return is_blank(text) ? Status() : visit_text(text, 1);
    }
    return {};
  }

  // Of a part of the file.
  Status check_text(std::string_view part) const {
    LOOPLM_RETURN_IF_ERROR(check_utf8_part(part, place_));
    const size_t zero = part.find('\0');
    if (zero == std::string_view::npos) return {};
    TextPlace at = place_;
    at.pass(part.substr(0, zero));
    return invalid_argument(
        fmt::format("byte {} (in line {}) is zero, as in UTF-16 and binary files; expected text",
                    at.byte, at.line));
  }
  std::string place(int64_t line) const { return fmt::format("{}:{}", path_, line); }

  Status visit_text(std::string_view text, int64_t line) const {
    if (options_.on_bad) {
      const Status good = check_document(text, place(line));
      if (!good.ok()) return options_.on_bad(good);
    }
    return visit_({{std::string(text), true}}, line);
  }

  Status read_json_lines(std::string_view rest) const {
    for (int64_t number = place_.line; !rest.empty(); ++number) {
      const std::string_view line = take_line(rest);
      if (is_blank(line)) continue;
      Result<CorpusDocument> document = corpus_line(line, place(number), options_.chat);
      if (!document.ok()) {
        if (!options_.on_bad) return document.status();
        LOOPLM_RETURN_IF_ERROR(options_.on_bad(document.status()));
        continue;
      }
      std::erase_if(*document, [](const CorpusSegment& s) { return s.text.empty(); });
      if (document->empty()) {
        if (options_.on_empty) options_.on_empty();
        continue;
      }
      LOOPLM_RETURN_IF_ERROR(visit_(std::move(*document), number));
    }
    return {};
  }

  Status read_paragraphs(std::string_view rest) const {
    const char* start = nullptr;  // of the paragraph so far; null between paragraphs
    const char* end = nullptr;    // of its last line, line end excluded
    int64_t first = 0;            // its first line
    for (int64_t number = place_.line; !rest.empty(); ++number) {
      const std::string_view line = take_line(rest);
      if (is_blank(line)) {
        if (start != nullptr) LOOPLM_RETURN_IF_ERROR(visit_text({start, end}, first));
        start = nullptr;
        continue;
      }
      if (start == nullptr) {
        start = line.data();
        first = number;
      }
      end = line.data() + line.size();
    }
    return start != nullptr ? visit_text({start, end}, first) : Status();
  }

  Status read_lines(std::string_view rest) const {
    for (int64_t number = place_.line; !rest.empty(); ++number) {
      const std::string_view line = take_line(rest);
      if (!is_blank(line)) LOOPLM_RETURN_IF_ERROR(visit_text(line, number));
    }
    return {};
  }

  const std::string& path_;
  const CorpusOptions& options_;
  const Visit& visit_;
  const bool lines_of_json_ = is_json_lines(path_);
  TextPlace place_;  // of the part being read
};

Result<CorpusDocument> corpus_document(const Json& object, const std::string& where) {
  const bool pair = object.contains("prompt") || object.contains("completion");
  const bool turns = object.contains("turns");
  if (pair + turns + object.contains("text") > 1) {
    return invalid_argument(
        fmt::format("{}: expected one of 'text', 'prompt' and 'completion', or 'turns'", where));
  }
  CorpusDocument document;
  if (turns) {
    LOOPLM_RETURN_IF_ERROR(check_plain(object, where));
    const Json& list = object["turns"];
    if (!list.is_array()) {
      return invalid_argument(
          fmt::format("{}: field 'turns' is {}; expected an array", where, shown_json(list)));
    }
    for (size_t i = 0; i < list.size(); ++i) {
      LOOPLM_RETURN_IF_ERROR(add_turn(list[i], fmt::format("{}: turn {}", where, i),
                                      "'prompt' and 'completion'", document));
    }
  } else if (pair) {
    LOOPLM_RETURN_IF_ERROR(add_turn(object, where, kDocumentFields, document));
  } else {
    LOOPLM_ASSIGN_OR_RETURN(std::string text, string_field(object, "text", where));
    if (object.contains("role")) {
      return invalid_argument(fmt::format(
          "{}: a 'text' of the role {}, as one message of a chat has it (OpenAssistant's form); "
          "expected whole chats, as 'messages'",
          where, shown_json(object["role"])));
    }
    document.push_back({std::move(text), true});
  }
  // What stands behind a document would be all that such a one teaches: to say nothing.
  const auto words = [&](bool learnt) {
    return std::ranges::any_of(
        document, [&](const CorpusSegment& s) { return s.learnt == learnt && !s.text.empty(); });
  };
  if (words(false) && !words(true)) {
    return invalid_argument(
        fmt::format("{}: field 'completion' is empty; expected text to learn", where));
  }
  return document;
}

// An answer that was judged bad must not be learnt as a good one.
Status check_judgement(const Json& object) {
  if (!is_chat_example(object) && !object.contains("completion") && !object.contains("turns")) {
    return {};
  }
  for (const char* key : {"label", "kto_tag"}) {
    const Json judgement = object.value(key, Json());
    if (judgement != false && judgement != 0) continue;
    return invalid_argument(fmt::format(
        "field '{}' is {}: an answer that was judged bad (KTO's form) would be learnt as a good "
        "one; expected good answers, pairs of 'chosen' and 'rejected', another name for a field "
        "that says something else, or --skip-bad to leave such lines out",
        key, shown_json(judgement)));
  }
  return {};
}

// The first line of an object, or of a list of objects, that goes on in the next one.
bool is_part_of_json(std::string_view line) {
  const size_t first = line.find_first_not_of(" \t"), last = line.find_last_not_of(" \t");
  return first == last && first != std::string_view::npos &&
         (line[first] == '{' || line[first] == '[');
}

Result<CorpusDocument> unchecked_line(std::string_view line, const std::string& where,
                                      const Result<ChatTemplate>* chat, bool learns) {
  if (line.size() > kMostLineBytes) {
    return invalid_argument(fmt::format(
        "{}: a line of {} bytes; expected at most {}. A longer text may stand in a file of its own "
        "that is no .jsonl, with --split file",
        where, line.size(), kMostLineBytes));
  }
  LOOPLM_RETURN_IF_ERROR(check_document(line, where));
  constexpr const char* kExpected =
      "expected a whole JSON object in each line (jq -c '.[]' FILE makes such lines of a list of "
      "objects, and jq -c . FILE of objects that span lines)";
  if (is_part_of_json(line)) {
    return invalid_argument(fmt::format("{}: the line is '{}'; {}", where, line, kExpected));
  }
  LOOPLM_ASSIGN_OR_RETURN(Json object, parse_json(line, where));
  if (!object.is_object()) {
    return invalid_argument(
        fmt::format("{}: the line is {}; {}", where, shown_json(object), kExpected));
  }
  remove_nulls(object);
  const bool preference = is_preference(object);
  if (learns && !preference) LOOPLM_RETURN_IF_ERROR(check_judgement(object).with_context(where));
  if (preference && !is_preference_of_chats(object)) return preference_document(object, where);
  if (!preference && !is_chat_example(object)) return corpus_document(object, where);
  Result<CorpusDocument> document = chat_document(line, preference, chat);
  return document.ok() ? std::move(document) : document.status().with_context(where);
}

}  // namespace

Result<CorpusDocument> corpus_line(std::string_view line, const std::string& where,
                                   const Result<ChatTemplate>* chat, bool learns) {
  Result<CorpusDocument> document = unchecked_line(line, where, chat, learns);
  const auto has_zero = [](const CorpusSegment& s) {
    return s.text.find('\0') != std::string::npos;
  };
  if (document.ok() && std::ranges::any_of(*document, has_zero)) {
    return invalid_argument(
        fmt::format("{}: a text with the character \\u0000, as broken conversions leave it; "
                    "expected text without",
                    where));
  }
  return document;
}

bool is_json_lines(const std::string& path) {
  const std::string_view name = unpacked_name(path);
  return name.ends_with(".jsonl") || name.ends_with(".ndjson");
}

bool is_rendered_chat(const CorpusDocument& document) {
  return std::any_of(document.begin(), document.end(),
                     [](const CorpusSegment& segment) { return segment.of_template; });
}

namespace {

// Whether ids [0, end), which are learnt up to there, end with a special token, which only a
// template writes, and behind which it may write white space.
bool has_end(const Tokenizer& tokenizer, const DocumentIds& document, size_t end) {
  while (end > 0 && document.learnt[end - 1] && is_blank(tokenizer.bytes(document.ids[end - 1]))) {
    --end;
  }
  return end > 0 && document.learnt[end - 1] && tokenizer.is_special(document.ids[end - 1]);
}

// The first id from `at` on that is no white space.
size_t behind_space(const Tokenizer& tokenizer, const DocumentIds& document, size_t at) {
  while (at < document.ids.size() && is_blank(tokenizer.bytes(document.ids[at]))) ++at;
  return at;
}

// Where the template leaves the end of an answer out of {% generation %}, or where the next turn's
// first token ends it, that is learnt too: else the model would never learn to stop.
void learn_ends(const Tokenizer& tokenizer, DocumentIds& document) {
  for (size_t i = 1; i < document.ids.size(); ++i) {
    if (!document.learnt[i - 1] || document.learnt[i] || has_end(tokenizer, document, i)) continue;
    const size_t end = behind_space(tokenizer, document, i);
    if (end == document.ids.size() || !tokenizer.is_special(document.ids[end])) continue;
    std::fill(document.learnt.begin() + static_cast<std::ptrdiff_t>(i),
              document.learnt.begin() + static_cast<std::ptrdiff_t>(end + 1), true);
  }
}

std::vector<size_t> find_parts(const std::vector<bool>& learnt, const std::vector<bool>& foreign) {
  std::vector<size_t> parts;
  for (size_t i = 1; i < learnt.size(); ++i) {
    if (!learnt[i - 1] || learnt[i]) continue;
    size_t next = i;
    while (next < learnt.size() && !learnt[next] && !foreign[next]) ++next;
    if (next < learnt.size() && learnt[next]) parts.push_back(i - 1);
  }
  return parts;
}

Result<DocumentIds> encode_rendered(const CorpusDocument& document, const Tokenizer& tokenizer) {
  RenderedChat chat;
  for (const CorpusSegment& segment : document) {
    chat.text += segment.text;
    chat.spans.push_back({segment.text.size(), !segment.of_template, segment.learnt});
  }
  LOOPLM_ASSIGN_OR_RETURN(EncodedChat encoded, encode_chat(tokenizer, chat));
  DocumentIds result{std::move(encoded.ids), std::move(encoded.generated)};
  learn_ends(tokenizer, result);
  if (!encoded.foreign.empty()) result.parts = find_parts(result.learnt, encoded.foreign);
  return result;
}

// Appends `text` to `kept` without the characters that have no token.
Status keep_characters(std::string_view text, const Tokenizer& tokenizer, std::string& kept,
                       int64_t& lost_bytes) {
  while (!text.empty()) {
    const std::string_view character = text.substr(0, utf8_step(text).size);
    text.remove_prefix(character.size());
    int64_t lost = 0;
    LOOPLM_RETURN_IF_ERROR(
        tokenizer
            .encode(character,
                    {.as = EncodeAs::kContinuation, .parse_special = false, .lost_bytes = &lost})
            .status());
    if (lost == 0) {
      kept += character;
    } else {
      lost_bytes += static_cast<int64_t>(character.size());
    }
  }
  return {};
}

// The segment's text without the characters that have no token. An added token is one whole, since
// its characters may have no tokens of their own.
Result<std::string> without_lost(const CorpusSegment& segment, const Tokenizer& tokenizer,
                                 int64_t& lost_bytes) {
  std::vector<AddedTokenMatcher::Piece> pieces;
  tokenizer.parts().raw_added.split(segment.text, /*parse_special=*/segment.of_template, {},
                                    pieces);
  std::string kept;
  for (const AddedTokenMatcher::Piece& piece : pieces) {
    int64_t lost = 0;
    LOOPLM_RETURN_IF_ERROR(tokenizer
                               .encode(piece.text, {.as = EncodeAs::kContinuation,
                                                    .parse_special = segment.of_template,
                                                    .lost_bytes = &lost})
                               .status());
    if (lost == 0) {
      kept += piece.text;
    } else {
      LOOPLM_RETURN_IF_ERROR(keep_characters(piece.text, tokenizer, kept, lost_bytes));
    }
  }
  return kept;
}

}  // namespace

std::array<CorpusDocument, 2> answers_of(const CorpusDocument& document) {
  std::array<CorpusDocument, 2> answers;
  for (const CorpusSegment& segment : document) {
    answers[segment.of_rejected ? 1 : 0].push_back(segment);
  }
  return answers;
}

bool lacks_end(const Tokenizer& tokenizer, const DocumentIds& document) {
  for (size_t i = 1; i <= document.ids.size(); ++i) {
    const bool ends = document.learnt[i - 1] && (i == document.ids.size() || !document.learnt[i]);
    if (ends && !has_end(tokenizer, document, i) &&
        std::ranges::find(document.parts, i - 1) == document.parts.end()) {
      return true;
    }
  }
  return false;
}

void add_end(const Tokenizer& tokenizer, int32_t end_token, DocumentIds& document) {
  const auto last = std::find(document.learnt.rbegin(), document.learnt.rend(), true);
  const auto learnt = static_cast<size_t>(document.learnt.rend() - last);
  const bool open = learnt > 0 && !has_end(tokenizer, document, learnt) &&
                    behind_space(tokenizer, document, learnt) == document.ids.size();
  if (!open || document.ids.back() == end_token) return;
  std::fill(last.base(), document.learnt.end(), true);
  document.ids.push_back(end_token);
  document.learnt.push_back(true);
}

Result<DocumentIds> encode_document(const CorpusDocument& document, const Tokenizer& tokenizer,
                                    int64_t* lost_bytes) {
  if (is_rendered_chat(document)) {
    Result<DocumentIds> result = encode_rendered(document, tokenizer);
    if (result.ok() || lost_bytes == nullptr) return result;
    CorpusDocument kept = document;
    for (CorpusSegment& segment : kept) {
      LOOPLM_ASSIGN_OR_RETURN(segment.text, without_lost(segment, tokenizer, *lost_bytes));
    }
    return encode_rendered(kept, tokenizer);
  }
  DocumentIds result;
  result.ids = tokenizer.ids_in_front();
  result.learnt.assign(result.ids.size(), false);
  for (const CorpusSegment& segment : document) {
    LOOPLM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            tokenizer.encode(segment.text, {.as = EncodeAs::kContinuation,
                                                            .parse_special = false,
                                                            .lost_bytes = lost_bytes}));
    result.ids.insert(result.ids.end(), ids.begin(), ids.end());
    result.learnt.insert(result.learnt.end(), ids.size(), segment.learnt);
  }
  return result;
}

Status read_corpus(const std::string& path, const CorpusOptions& options,
                   const CorpusReader::Visit& visit) {
  if (unpacked_name(path).ends_with(".json")) {
    return invalid_argument(fmt::format(
        "'{0}' is named .json; expected .jsonl with an object in each line ('jq -c .[] {0}' makes "
        "such lines of a list), or another name if it is plain text",
        path));
  }
  return CorpusReader(path, options, visit).read();
}

}  // namespace looplm

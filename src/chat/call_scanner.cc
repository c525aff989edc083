#include "chat/call_scanner.h"

#include <algorithm>
#include <optional>

#include "base/json.h"

namespace looplm {
namespace {

constexpr size_t kLongestName = 256;
constexpr std::string_view kSpace = " \n\r\t";
constexpr std::string_view kHermesEnd = "</tool_call>";
constexpr std::string_view kMistralArguments = "[ARGS]";

// Reads a text from the front. Running out of text is not the same as finding something else.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  enum class Found { kYes, kNo, kNeedsMore };

  void skip_space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }
  Found take(std::string_view wanted) {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(wanted)) {
      at_ += wanted.size();
      return Found::kYes;
    }
    return wanted.starts_with(rest) ? Found::kNeedsMore : Found::kNo;
  }
  // White space, then `wanted`.
  Found take_spaced(std::string_view wanted) {
    skip_space();
    return take(wanted);
  }
  // A JSON string, with its quotes.
  Found take_string(std::string& value) {
    const size_t begin = at_;
    const Found quote = take_spaced("\"");
    if (quote != Found::kYes) return quote;
    for (bool escaped = false; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (!escaped && c == '"') {
        ++at_;
        const Result<Json> json = parse_json(text_.substr(begin, at_ - begin), "a name");
        if (!json.ok() || !json.value().is_string()) return Found::kNo;
        value = json.value().get<std::string>();
        return Found::kYes;
      }
      if (at_ - begin > kLongestName) return Found::kNo;
      escaped = !escaped && c == '\\';
    }
    return Found::kNeedsMore;
  }

  bool at_end() const { return at_ == text_.size(); }
  size_t at() const { return at_; }
  char peek() const { return text_[at_]; }
  std::string_view rest() const { return text_.substr(at_); }
  void move_to(size_t at) { at_ = at; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

using Found = Reader::Found;

CallHead outcome(Found found, CallHead::Kind otherwise) {
  return {found == Found::kNeedsMore ? CallHead::Kind::kNeedsMore : otherwise};
}

// {"name": "...", "arguments": {
CallHead read_object_head(Reader& reader) {
  if (const Found found = reader.take_spaced("{"); found != Found::kYes) {
    return outcome(found, CallHead::Kind::kNone);
  }
  constexpr CallHead::Kind kOther = CallHead::Kind::kOtherOrder;
  std::string key;
  CallHead head;
  if (const Found found = reader.take_string(key); found != Found::kYes || key != "name") {
    return outcome(found, kOther);
  }
  if (const Found found = reader.take_spaced(":"); found != Found::kYes) {
    return outcome(found, kOther);
  }
  if (const Found found = reader.take_string(head.name); found != Found::kYes) {
    return outcome(found, kOther);
  }
  if (head.name.empty()) return {CallHead::Kind::kNone};
  if (const Found found = reader.take_spaced(","); found != Found::kYes) {
    return outcome(found, kOther);
  }
  if (const Found found = reader.take_string(key); found != Found::kYes) {
    return outcome(found, kOther);
  }
  if (key != "arguments" && key != "parameters") return {kOther};
  if (const Found found = reader.take_spaced(":"); found != Found::kYes) {
    return outcome(found, kOther);
  }
  reader.skip_space();
  if (reader.at_end()) return {CallHead::Kind::kNeedsMore};
  if (reader.peek() != '{') return {kOther};
  head.kind = CallHead::Kind::kCall;
  head.size = reader.at();
  return head;
}

// name[ARGS]{ as newer Mistral models write it.
CallHead read_named_head(Reader& reader) {
  const std::string_view rest = reader.rest();
  const size_t bracket = std::min(rest.find('['), rest.size());
  const size_t end = rest.find_last_not_of(kSpace, bracket == 0 ? 0 : bracket - 1);
  if (bracket == 0 || bracket > kLongestName || end == std::string_view::npos) {
    return {CallHead::Kind::kNone};
  }
  const std::string_view name = rest.substr(0, end + 1);
  if (name.find_first_of(" \n\r\t{}\"") != std::string_view::npos) return {CallHead::Kind::kNone};
  reader.move_to(reader.at() + bracket);
  if (const Found found = reader.take(kMistralArguments); found != Found::kYes) {
    return outcome(found, CallHead::Kind::kNone);
  }
  reader.skip_space();
  if (reader.at_end()) return {CallHead::Kind::kNeedsMore};
  if (reader.peek() != '{') return {CallHead::Kind::kNone};
  return {CallHead::Kind::kCall, std::string(name), reader.at()};
}

// A call from its whole JSON. Where no marker says that it is one, it has arguments too: other
// objects have names.
std::optional<ToolCall> read_call(const OrderedJson& object, bool marked) {
  if (!object.is_object()) return std::nullopt;
  const auto name = object.find("name");
  if (name == object.end() || !name->is_string() || name->get_ref<const std::string&>().empty()) {
    return std::nullopt;
  }
  ToolCall call;
  call.name = name->get<std::string>();
  call.arguments = "{}";
  bool has_arguments = false;
  for (const char* key : {"arguments", "parameters"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    has_arguments = true;
    if (found->is_null()) continue;
    if (!found->is_object() && !found->is_string()) return std::nullopt;
    call.arguments = found->is_string() ? found->get<std::string>() : dump_json(*found);
    break;
  }
  return marked || has_arguments ? std::optional(std::move(call)) : std::nullopt;
}

}  // namespace

std::string_view call_marker(ToolCallFormat format) {
  return format == ToolCallFormat::kHermes    ? "<tool_call>"
         : format == ToolCallFormat::kMistral ? "[TOOL_CALLS]"
                                              : "";
}

CallHead read_call_head(std::string_view text, ToolCallFormat format, bool in_list) {
  Reader reader(text);
  if (format == ToolCallFormat::kLlama && text.starts_with('<')) {
    if (const Found found = reader.take(kPythonTag); found != Found::kYes) {
      return outcome(found, CallHead::Kind::kNone);
    }
  } else if (!in_list) {
    if (const Found found = reader.take(call_marker(format)); found != Found::kYes) {
      return outcome(found, CallHead::Kind::kNone);
    }
  }
  if (format != ToolCallFormat::kMistral || in_list) {
    CallHead head = read_object_head(reader);
    head.in_list = in_list;
    return head;
  }
  reader.skip_space();
  if (reader.at_end()) return {CallHead::Kind::kNeedsMore};
  if (reader.peek() != '[') return read_named_head(reader);
  reader.move_to(reader.at() + 1);
  CallHead head = read_object_head(reader);
  head.in_list = true;
  return head;
}

size_t ArgumentScanner::scan(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && !done_) {
    const char c = text[at];
    if (in_string_) {
      if (!escaped_ && c == '"') in_string_ = false;
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (--depth_ == 0) done_ = true;
    } else {
      const bool in_json = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == 'E' ||
                           std::string_view(",:+-. \n\r\t").find(c) != std::string_view::npos;
      if (!in_json) {
        done_ = true;
        return at;
      }
    }
    ++at;
  }
  return at;
}

CallTail read_call_tail(std::string_view text, ToolCallFormat format, bool in_list) {
  const bool named = format == ToolCallFormat::kMistral && !in_list;  // no object around it
  Reader reader(text);
  const CallTail wait{.needs_more = true};
  reader.skip_space();
  if (!named) {
    // Other keys of the call's object, an id for example.
    if (!reader.at_end() && reader.peek() == ',') {
      std::string inside = "{";  // so that the scanner stops at the object's own brace
      inside += reader.rest();
      ArgumentScanner scanner;
      const size_t taken = scanner.scan(inside);
      if (!scanner.done()) return wait;
      if (inside[taken - 1] == '}') reader.move_to(reader.at() + taken - 2);
    }
    const Found brace = reader.take("}");
    if (brace == Found::kNeedsMore) return wait;
    if (brace == Found::kNo) return {};
  }
  CallTail tail{.size = reader.at()};
  if (format == ToolCallFormat::kHermes) {
    const Found end = reader.take_spaced(kHermesEnd);
    if (end == Found::kYes) tail.size = reader.at();
    tail.needs_more = end == Found::kNeedsMore;
  } else if (in_list) {
    reader.skip_space();
    tail.needs_more = reader.at_end();
    if (reader.take(",") == Found::kYes) {
      tail.size = reader.at();
      tail.another = true;
    } else if (reader.take("]") == Found::kYes) {
      tail.size = reader.at();
    }
  }
  return tail;
}

size_t find_call_end(std::string_view text, ToolCallFormat format, bool ended) {
  if (format == ToolCallFormat::kHermes) {
    const size_t end = text.find(kHermesEnd);
    if (end != std::string_view::npos) return end + kHermesEnd.size();
  }
  return ended ? text.size() : std::string_view::npos;
}

std::vector<ToolCall> read_whole_calls(std::string_view text, ToolCallFormat format) {
  const bool marked = format != ToolCallFormat::kLlama || text.starts_with(kPythonTag);
  if (text.starts_with(call_marker(format))) text.remove_prefix(call_marker(format).size());
  if (text.starts_with(kPythonTag)) text.remove_prefix(kPythonTag.size());
  if (text.ends_with(kHermesEnd)) text.remove_suffix(kHermesEnd.size());
  const Result<OrderedJson> json = parse_ordered_json(text, "a tool call");
  std::vector<ToolCall> calls;
  if (!json.ok()) return calls;
  const bool list = json.value().is_array();
  for (size_t i = 0; i < (list ? json.value().size() : 1); ++i) {
    std::optional<ToolCall> call = read_call(list ? json.value()[i] : json.value(), marked);
    if (!call) return {};
    calls.push_back(std::move(*call));
  }
  return calls;
}

}  // namespace looplm

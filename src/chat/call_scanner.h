// The forms in which models write tool calls, read as far as they have come.
#ifndef LOOPLM_CHAT_CALL_SCANNER_H_
#define LOOPLM_CHAT_CALL_SCANNER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "looplm/chat.h"

namespace looplm {

inline constexpr std::string_view kPythonTag = "<|python_tag|>";  // Llama's, before a call

// What stands in front of a call; empty: nothing does.
std::string_view call_marker(ToolCallFormat format);

// The beginning of a call up to its arguments' opening brace.
struct CallHead {
  enum class Kind {
    kCall,
    kNeedsMore,   // may become one
    kOtherOrder,  // an object, but not the name and then arguments that are an object
    kNone,
  };
  Kind kind = Kind::kNone;
  std::string name{};
  size_t size = 0;       // bytes before the brace
  bool in_list = false;  // of calls: another may follow
};
// `text` begins with the marker, or where `in_list` with the next call of a list.
CallHead read_call_head(std::string_view text, ToolCallFormat format, bool in_list);

// Finds the end of a JSON object in a stream.
class ArgumentScanner {
 public:
  // How many bytes in front of `text` belong to the object. What cannot be JSON ends it.
  size_t scan(std::string_view text);
  bool done() const { return done_; }

 private:
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool done_ = false;
};

// What stands behind the arguments: other keys, the brace, the closing tag or the list's next.
struct CallTail {
  size_t size = 0;
  bool needs_more = false;
  bool another = false;  // a call follows in the list
};
CallTail read_call_tail(std::string_view text, ToolCallFormat format, bool in_list);

// Calls of other orders, read when they are whole. npos: not yet.
size_t find_call_end(std::string_view text, ToolCallFormat format, bool ended);
std::vector<ToolCall> read_whole_calls(std::string_view text, ToolCallFormat format);

}  // namespace looplm

#endif  // LOOPLM_CHAT_CALL_SCANNER_H_

// What Python's str does, on text with marks. Filters and methods share it.
#ifndef LOOPLM_CHAT_JINJA_TEXT_METHODS_H_
#define LOOPLM_CHAT_JINJA_TEXT_METHODS_H_

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "chat/jinja/characters.h"
#include "chat/jinja/interpreter.h"

namespace looplm::jinja {

enum class Side { kLeft, kRight, kBoth };
// Without white space, or without the characters of `characters` where that is given.
Value strip(Interpreter& interpreter, const Text& text, const Text* characters, Side side);
// `separator` null: runs of white space. `most` < 0: all.
std::vector<Value> split(Interpreter& interpreter, const Text& text, const Text* separator,
                         int64_t most, bool from_right);
std::vector<Value> split_lines(Interpreter& interpreter, const Text& text, bool keep_ends);
Value replace(Interpreter& interpreter, const Text& text, const Text& from, const Text& to,
              int64_t most);
Value join(Interpreter& interpreter, const Text& separator, const std::vector<Text>& parts);
Value change_case(Interpreter& interpreter, const Text& text, Case which);
Value capitalize(Interpreter& interpreter, const Text& text);
// Filled up to `width` characters on the sides named.
Value pad(Interpreter& interpreter, const Text& text, int64_t width, std::string_view fill,
          bool left, bool right);
// Each part between `marks`, with its own marks changed by `change`.
Value mapped(Interpreter& interpreter, const Text& text,
             const std::function<std::string(std::string_view)>& change);

}  // namespace looplm::jinja

#endif  // LOOPLM_CHAT_JINJA_TEXT_METHODS_H_

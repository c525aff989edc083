#include "chat/jinja/text_methods.h"

#include <algorithm>

#include <fmt/format.h>

namespace looplm::jinja {
namespace {

Value finished(TextBuilder& out, const Text& like) {
  Text text = out.take();
  text.markup = like.markup;
  return Value(std::move(text));
}

std::vector<Value> split_at_space(Interpreter& interpreter, const Text& text, int64_t most) {
  const std::string_view all = text.view();
  std::vector<Value> parts;
  size_t at = 0;
  while (true) {
    while (at < all.size()) {
      size_t next = at;
      if (!is_space(next_character(all, next))) break;
      at = next;
    }
    if (at >= all.size()) return parts;
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(interpreter.slice(text, at, all.size()));
      return parts;
    }
    const size_t begin = at;
    while (at < all.size()) {
      size_t next = at;
      if (is_space(next_character(all, next))) break;
      at = next;
    }
    parts.push_back(interpreter.slice(text, begin, at));
  }
}

std::vector<Value> split_at_space_from_right(Interpreter& interpreter, const Text& text,
                                             int64_t most) {
  const std::string_view all = text.view();
  std::vector<Value> parts;
  size_t end = all.size();
  const auto space_before = [&](size_t at) {
    size_t begin = previous_character(all, at);
    return is_space(next_character(all, begin));
  };
  while (true) {
    while (end > 0 && space_before(end)) end = previous_character(all, end);
    if (end == 0) break;
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(interpreter.slice(text, 0, end));
      break;
    }
    size_t begin = end;
    while (begin > 0 && !space_before(begin)) begin = previous_character(all, begin);
    parts.push_back(interpreter.slice(text, begin, end));
    end = begin;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

Value strip(Interpreter& interpreter, const Text& text, const Text* characters, Side side) {
  const std::string_view all = text.view();
  const auto drops = [&](size_t begin, size_t end) {
    if (characters != nullptr) {
      return characters->view().find(all.substr(begin, end - begin)) != std::string_view::npos;
    }
    return is_space(next_character(all, begin));
  };
  size_t begin = 0;
  size_t end = all.size();
  while (side != Side::kRight && begin < end) {
    size_t next = begin;
    next_character(all, next);
    if (!drops(begin, next)) break;
    begin = next;
  }
  while (side != Side::kLeft && end > begin) {
    const size_t previous = previous_character(all, end);
    if (!drops(previous, end)) break;
    end = previous;
  }
  return interpreter.slice(text, begin, end);
}

std::vector<Value> split(Interpreter& interpreter, const Text& text, const Text* separator,
                         int64_t most, bool from_right) {
  if (separator == nullptr) {
    return from_right ? split_at_space_from_right(interpreter, text, most)
                      : split_at_space(interpreter, text, most);
  }
  const std::string_view all = text.view();
  const std::string_view cut = separator->view();
  if (cut.empty()) fail("split: the separator is empty");
  std::vector<Value> parts;
  const auto enough = [&] { return most >= 0 && static_cast<int64_t>(parts.size()) >= most; };
  if (!from_right) {
    size_t begin = 0;
    while (!enough()) {
      const size_t at = all.find(cut, begin);
      if (at == std::string_view::npos) break;
      parts.push_back(interpreter.slice(text, begin, at));
      begin = at + cut.size();
    }
    parts.push_back(interpreter.slice(text, begin, all.size()));
    return parts;
  }
  size_t end = all.size();
  while (!enough() && end >= cut.size()) {
    const size_t at = all.rfind(cut, end - cut.size());
    if (at == std::string_view::npos) break;
    parts.push_back(interpreter.slice(text, at + cut.size(), end));
    end = at;
  }
  parts.push_back(interpreter.slice(text, 0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Value> split_lines(Interpreter& interpreter, const Text& text, bool keep_ends) {
  const std::string_view all = text.view();
  std::vector<Value> lines;
  size_t begin = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t end = at;
    const uint32_t c = next_character(all, at);
    if (!is_line_break(c)) continue;
    if (c == '\r' && at < all.size() && all[at] == '\n') ++at;
    lines.push_back(interpreter.slice(text, begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < all.size()) lines.push_back(interpreter.slice(text, begin, all.size()));
  return lines;
}

Value replace(Interpreter& interpreter, const Text& text, const Text& from, const Text& to,
              int64_t most) {
  const std::string_view all = text.view();
  TextBuilder out(interpreter.budget());
  size_t begin = 0;
  size_t search = 0;
  for (int64_t done = 0; most < 0 || done < most; ++done) {
    const size_t at = search > all.size() ? std::string_view::npos : all.find(from.view(), search);
    if (at == std::string_view::npos) break;
    out.append(text, begin, at);
    out.append(to);
    begin = at + from.size();
    search = begin;
    if (from.empty()) {  // between any two characters, and at both ends
      if (at >= all.size()) break;
      next_character(all, search);
    }
  }
  out.append(text, begin, all.size());
  return finished(out, text);
}

Value join(Interpreter& interpreter, const Text& separator, const std::vector<Text>& parts) {
  TextBuilder out(interpreter.budget());
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append(separator);
    if (separator.markup && !parts[i].markup) {
      out.append(escaped(interpreter.budget(), parts[i]));
    } else {
      out.append(parts[i]);
    }
  }
  return finished(out, separator);
}

Value mapped(Interpreter& interpreter, const Text& text,
             const std::function<std::string(std::string_view)>& change) {
  TextBuilder out(interpreter.budget());
  text.for_each_run(0, text.size(),
                    [&](std::string_view part, Marks marks) { out.append(change(part), marks); });
  return finished(out, text);
}

Value change_case(Interpreter& interpreter, const Text& text, Case which) {
  return mapped(interpreter, text, [&](std::string_view part) { return with_case(part, which); });
}

Value capitalize(Interpreter& interpreter, const Text& text) {
  bool first = true;
  return mapped(interpreter, text, [&](std::string_view part) {
    if (!std::exchange(first, false)) return with_case(part, Case::kLower);
    size_t end = 0;
    next_character(part, end);
    return title_character(part.substr(0, end)) + with_case(part.substr(end), Case::kLower);
  });
}

Value pad(Interpreter& interpreter, const Text& text, int64_t width, std::string_view fill,
          bool left, bool right) {
  const auto size = static_cast<int64_t>(count_characters(text.view()));
  const int64_t missing = std::max<int64_t>(0, width - size);
  // Python's center puts the odd one to the left where the width is odd.
  const int64_t before = !left ? 0 : !right ? missing : missing / 2 + (missing & width & 1);
  TextBuilder out(interpreter.budget());
  out.repeat(fill, static_cast<size_t>(before), 0);
  out.append(text);
  out.repeat(fill, static_cast<size_t>(missing - before), 0);
  return finished(out, text);
}

}  // namespace looplm::jinja

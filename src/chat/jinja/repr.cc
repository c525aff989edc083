// Values as text: str(), repr() and json.dumps().
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "chat/jinja/characters.h"
#include "chat/jinja/value.h"
#include "text/utf8.h"

namespace looplm::jinja {
namespace {

void check_depth(int depth) {
  // Deeper than a value can be: only a namespace that holds itself goes on.
  if (depth > 2 * kMaxDepth) fail("a namespace that holds itself cannot be written out");
}

void append_quoted(TextBuilder& out, const Text& text) {
  const std::string_view all = text.view();
  const bool doubled =
      all.find('\'') != std::string_view::npos && all.find('"') == std::string_view::npos;
  const char quote = doubled ? '"' : '\'';
  out.append(std::string_view(&quote, 1), 0);
  text.for_each_run(0, text.size(), [&](std::string_view part, Marks marks) {
    std::string escaped;
    for (size_t at = 0; at < part.size();) {
      const size_t begin = at;
      const uint32_t c = next_character(part, at);
      if (c == '\n') {
        escaped += "\\n";
      } else if (c == '\r') {
        escaped += "\\r";
      } else if (c == '\t') {
        escaped += "\\t";
      } else if (c == '\\' || c == static_cast<uint32_t>(quote)) {
        escaped += '\\';
        escaped += static_cast<char>(c);
      } else if (is_printable(c)) {
        escaped += part.substr(begin, at - begin);
      } else if (c < 0x100) {
        escaped += fmt::format("\\x{:02x}", c);
      } else if (c < 0x10000) {
        escaped += fmt::format("\\u{:04x}", c);
      } else {
        escaped += fmt::format("\\U{:08x}", c);
      }
    }
    out.append(escaped, marks);
  });
  out.append(std::string_view(&quote, 1), 0);
}

void append_json_string(TextBuilder& out, const Text& text, bool ensure_ascii) {
  out.append("\"", 0);
  text.for_each_run(0, text.size(), [&](std::string_view part, Marks marks) {
    std::string escaped;
    for (size_t at = 0; at < part.size();) {
      const size_t begin = at;
      const uint32_t c = next_character(part, at);
      switch (c) {
        case '"':
          escaped += "\\\"";
          break;
        case '\\':
          escaped += "\\\\";
          break;
        case '\n':
          escaped += "\\n";
          break;
        case '\r':
          escaped += "\\r";
          break;
        case '\t':
          escaped += "\\t";
          break;
        case '\b':
          escaped += "\\b";
          break;
        case '\f':
          escaped += "\\f";
          break;
        default:
          if (c < 0x20 || (ensure_ascii && c > 0x7E && c < 0x10000)) {
            escaped += fmt::format("\\u{:04x}", c);
          } else if (ensure_ascii && c >= 0x10000) {
            escaped += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10),
                                   0xDC00 + ((c - 0x10000) & 0x3FF));
          } else {
            escaped += part.substr(begin, at - begin);
          }
      }
    }
    out.append(escaped, marks);
  });
  out.append("\"", 0);
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return float_repr(value);
}

// A dict's key as JSON's string.
Text json_key(Budget& budget, const Value& key) {
  if (const Text* text = key.string()) return *text;
  if (key.is_none()) return Text("null");
  if (const bool* b = key.boolean()) return Text(*b ? "true" : "false");
  if (const double* d = key.real()) return Text(json_float(*d));
  if (key.integer() != nullptr) return to_text(budget, key);
  fail(fmt::format("a dict with a key of type {} is not JSON", key.type_name()));
}

class JsonWriter {
 public:
  JsonWriter(TextBuilder& out, const JsonStyle& style) : out_(out), style_(style) {}

  void write(const Value& value, int depth) {
    check_depth(depth);
    out_.budget().step();
    if (const Text* text = value.string()) {
      append_json_string(out_, *text, style_.ensure_ascii);
    } else if (value.is_none()) {
      out_.append("null", 0);
    } else if (const bool* b = value.boolean()) {
      out_.append(*b ? "true" : "false", 0);
    } else if (const Integer* i = value.integer()) {
      out_.append(integer_text(*i), 0);
    } else if (const double* d = value.real()) {
      out_.append(json_float(*d), 0);
    } else if (const List* list = value.list()) {
      write_list(*list, depth);
    } else if (const Dict* dict = value.dict()) {
      write_dict(*dict, depth);
    } else {
      fail(fmt::format("an object of type {} is not JSON", value.type_name()));
    }
  }

 private:
  void new_line(int depth) {
    if (!style_.indent) return;
    out_.append("\n", 0);
    out_.repeat(*style_.indent, static_cast<size_t>(depth), 0);
  }

  void write_list(const List& list, int depth) {
    out_.append("[", 0);
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator, 0);
      new_line(depth + 1);
      write(list.items[i], depth + 1);
    }
    if (!list.items.empty()) new_line(depth);
    out_.append("]", 0);
  }

  void write_dict(const Dict& dict, int depth) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        return compare(a->key, b->key, "<") < 0;
      });
    }
    out_.append("{", 0);
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator, 0);
      new_line(depth + 1);
      append_json_string(out_, json_key(out_.budget(), entries[i]->key), style_.ensure_ascii);
      out_.append(style_.key_separator, 0);
      write(entries[i]->value, depth + 1);
    }
    if (!entries.empty()) new_line(depth);
    out_.append("}", 0);
  }

  TextBuilder& out_;
  const JsonStyle& style_;
};

}  // namespace

// As Python writes floats: the shortest digits that read back the same, as 0.0001 to 1e16 plainly.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text(32, '\0');
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific)
          .ptr;
  text.resize(static_cast<size_t>(end - text.data()));
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const std::string sign = value < 0 || (value == 0 && std::signbit(value)) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    const std::string rest = digits.size() > 1 ? fmt::format(".{}", digits.substr(1)) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], rest, exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) {
    return fmt::format("{}0.{}{}", sign, std::string(static_cast<size_t>(-exponent - 1), '0'),
                       digits);
  }
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) digits.append(whole - digits.size() + 1, '0');
  return fmt::format("{}{}.{}", sign, digits.substr(0, whole), digits.substr(whole));
}

std::string integer_text(Integer value) { return fmt::format("{}", value); }

void append_text(TextBuilder& out, const Value& value) {
  if (const Text* text = value.string()) {
    out.append(*text);
  } else if (value.undefined() == nullptr) {
    append_repr(out, value);
  }
}

Text to_text(Budget& budget, const Value& value) {
  TextBuilder out(budget);
  append_text(out, value);
  return out.take();
}

void append_repr(TextBuilder& out, const Value& value, int depth) {
  check_depth(depth);
  out.budget().step();
  if (const Text* text = value.string()) {
    append_quoted(out, *text);
  } else if (value.is_none()) {
    out.append("None", 0);
  } else if (value.undefined() != nullptr) {
    out.append("Undefined", 0);
  } else if (const bool* b = value.boolean()) {
    out.append(*b ? "True" : "False", 0);
  } else if (const Integer* i = value.integer()) {
    out.append(integer_text(*i), 0);
  } else if (const double* d = value.real()) {
    out.append(float_repr(*d), 0);
  } else if (const List* list = value.list()) {
    out.append(list->tuple ? "(" : "[", 0);
    for (size_t n = 0; n < list->items.size(); ++n) {
      if (n > 0) out.append(", ", 0);
      append_repr(out, list->items[n], depth + 1);
    }
    if (list->tuple && list->items.size() == 1) out.append(",", 0);
    out.append(list->tuple ? ")" : "]", 0);
  } else if (const Dict* dict = value.dict()) {
    out.append("{", 0);
    for (size_t n = 0; n < dict->size(); ++n) {
      if (n > 0) out.append(", ", 0);
      append_repr(out, dict->entries()[n].key, depth + 1);
      out.append(": ", 0);
      append_repr(out, dict->entries()[n].value, depth + 1);
    }
    out.append("}", 0);
  } else {
    value.object()->repr(out, depth + 1);
  }
}

void append_json(TextBuilder& out, const Value& value, const JsonStyle& style, int depth) {
  JsonWriter(out, style).write(value, depth);
}

std::string shown(const Value& value) {
  Budget budget(10'000, 10'000);
  TextBuilder out(budget);
  try {
    append_repr(out, value);
  } catch (const Failure&) {
    return fmt::format("a {} too long to show", value.type_name());
  }
  std::string text(out.take().view());
  if (text.size() <= 60) return text;
  return text.substr(0, character_offset(text, 56)) + "...";
}

}  // namespace looplm::jinja

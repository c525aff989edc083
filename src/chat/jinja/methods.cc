// Methods of str, list, tuple and dict.
#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "chat/jinja/interpreter.h"
#include "chat/jinja/objects.h"
#include "chat/jinja/text_methods.h"

namespace looplm::jinja {
namespace {

using Method = Value (*)(Interpreter&, const Value& self, const Arguments&);

const Text* optional_string(std::string_view function, const Value* value) {
  return value == nullptr || value->is_none() ? nullptr : &string_argument(function, *value);
}
int64_t optional_integer(std::string_view function, const Value* value, int64_t fallback) {
  return value == nullptr || value->is_none() ? fallback : integer_argument(function, *value);
}

template <Side side>
Value strip_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("strip", arguments, {"chars"}, 0);
  return strip(interpreter, *self.string(), optional_string("strip", bound[0]), side);
}

template <bool from_right>
Value split_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("split", arguments, {"sep", "maxsplit"}, 0);
  return interpreter.list(split(interpreter, *self.string(), optional_string("split", bound[0]),
                                optional_integer("split", bound[1], -1), from_right));
}

Value splitlines(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("splitlines", arguments, {"keepends"}, 0);
  return interpreter.list(
      split_lines(interpreter, *self.string(), bound[0] != nullptr && bound[0]->truth()));
}

template <Case which>
Value case_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("a change of case", arguments, {}, 0);
  return change_case(interpreter, *self.string(), which);
}

Value capitalize_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("capitalize", arguments, {}, 0);
  return capitalize(interpreter, *self.string());
}

Value title_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("title", arguments, {}, 0);
  bool in_word = false;
  return mapped(interpreter, *self.string(), [&](std::string_view part) {
    std::string out;
    for (size_t at = 0; at < part.size();) {
      const size_t begin = at;
      const uint32_t c = next_character(part, at);
      const std::string_view one = part.substr(begin, at - begin);
      out += in_word ? with_case(one, Case::kLower) : title_character(one);
      in_word = is_cased(c);
    }
    return out;
  });
}

Value swapcase(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("swapcase", arguments, {}, 0);
  return mapped(interpreter, *self.string(), [](std::string_view part) {
    std::string out;
    for (size_t at = 0; at < part.size();) {
      const size_t begin = at;
      const uint32_t c = next_character(part, at);
      out += with_case(part.substr(begin, at - begin), is_upper(c) ? Case::kLower : Case::kUpper);
    }
    return out;
  });
}

Value replace_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("replace", arguments, {"old", "new", "count"}, 2);
  return replace(interpreter, *self.string(), string_argument("replace", *bound[0]),
                 string_argument("replace", *bound[1]), optional_integer("replace", bound[2], -1));
}

Value join_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("join", arguments, {"iterable"}, 1);
  std::vector<Text> parts;
  for (const Value& item : interpreter.items(*bound[0])) {
    parts.push_back(string_argument("join", item));
  }
  return join(interpreter, *self.string(), parts);
}

// Characters [start, end) of the text, as bytes; none where start lies behind the end.
std::optional<std::pair<size_t, size_t>> stretch(std::string_view function, std::string_view all,
                                                 const Value* start, const Value* end) {
  const auto size = static_cast<int64_t>(count_characters(all));
  const auto clip = [&](int64_t index) {
    return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size);
  };
  const int64_t begin = optional_integer(function, start, 0);
  const int64_t from = clip(begin);
  const int64_t to = clip(optional_integer(function, end, size));
  if (begin > size || from > to) return std::nullopt;
  return std::pair(character_offset(all, static_cast<size_t>(from)),
                   character_offset(all, static_cast<size_t>(to)));
}

template <bool at_end>
Value affix(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  constexpr std::string_view kName = at_end ? "endswith" : "startswith";
  const auto bound = bind_arguments(kName, arguments, {"prefix", "start", "end"}, 1);
  const std::string_view all = self.string()->view();
  const auto part = stretch(kName, all, bound[1], bound[2]);
  const auto matches = [&](const Value& affix_value) {
    const std::string_view wanted = string_argument(kName, affix_value).view();
    if (!part) return false;
    const std::string_view text = all.substr(part->first, part->second - part->first);
    return at_end ? text.ends_with(wanted) : text.starts_with(wanted);
  };
  if (const List* list = bound[0]->list(); list != nullptr && list->tuple) {
    interpreter.budget().step(list->items.size());
    return Value(std::any_of(list->items.begin(), list->items.end(), matches));
  }
  return Value(matches(*bound[0]));
}

template <bool last, bool required>
Value find(Interpreter&, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("find", arguments, {"sub", "start", "end"}, 1);
  const std::string_view all = self.string()->view();
  const std::string_view wanted = string_argument("find", *bound[0]).view();
  const auto part = stretch("find", all, bound[1], bound[2]);
  size_t at = std::string_view::npos;
  if (part) {
    const std::string_view text = all.substr(0, part->second).substr(part->first);
    at = last ? text.rfind(wanted) : text.find(wanted);
  }
  if (at == std::string_view::npos) {
    if (required) fail(fmt::format("'{}' is not in the string", wanted.substr(0, 60)));
    return Value(Integer{-1});
  }
  return Value(static_cast<Integer>(count_characters(all.substr(0, part->first + at))));
}

Value count(Interpreter&, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("count", arguments, {"sub", "start", "end"}, 1);
  const std::string_view all = self.string()->view();
  const std::string_view wanted = string_argument("count", *bound[0]).view();
  const auto part = stretch("count", all, bound[1], bound[2]);
  if (!part) return Value(Integer{0});
  const std::string_view text = all.substr(part->first, part->second - part->first);
  if (wanted.empty()) return Value(static_cast<Integer>(count_characters(text) + 1));
  Integer found = 0;
  for (size_t at = 0; (at = text.find(wanted, at)) != std::string_view::npos; at += wanted.size()) {
    ++found;
  }
  return Value(found);
}

template <bool last>
Value partition(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("partition", arguments, {"sep"}, 1);
  const Text& text = *self.string();
  const std::string_view cut = string_argument("partition", *bound[0]).view();
  if (cut.empty()) fail("partition: the separator is empty");
  const size_t at = last ? text.view().rfind(cut) : text.view().find(cut);
  if (at == std::string_view::npos) {
    const Value nothing = Value::text("");
    return last ? interpreter.tuple({nothing, nothing, self})
                : interpreter.tuple({self, nothing, nothing});
  }
  return interpreter.tuple({interpreter.slice(text, 0, at),
                            interpreter.slice(text, at, at + cut.size()),
                            interpreter.slice(text, at + cut.size(), text.size())});
}

template <bool at_end>
Value remove_affix(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("removeprefix", arguments, {"affix"}, 1);
  const Text& text = *self.string();
  const std::string_view affix_text = string_argument("removeprefix", *bound[0]).view();
  const bool has = at_end ? text.view().ends_with(affix_text) : text.view().starts_with(affix_text);
  if (!has) return self;
  return at_end ? interpreter.slice(text, 0, text.size() - affix_text.size())
                : interpreter.slice(text, affix_text.size(), text.size());
}

template <bool left, bool right>
Value pad_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("center", arguments, {"width", "fillchar"}, 1);
  const Text* fill = optional_string("center", bound[1]);
  if (fill != nullptr && count_characters(fill->view()) != 1) {
    fail("center: the fill is not one character");
  }
  return pad(interpreter, *self.string(), integer_argument("center", *bound[0]),
             fill == nullptr ? " " : fill->view(), left, right);
}

Value zfill(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("zfill", arguments, {"width"}, 1);
  const Text& text = *self.string();
  const size_t sign = text.view().starts_with('-') || text.view().starts_with('+') ? 1 : 0;
  const Value rest = interpreter.slice(text, sign, text.size());
  const Value padded =
      pad(interpreter, *rest.string(),
          integer_argument("zfill", *bound[0]) - static_cast<int64_t>(sign), "0", true, false);
  return apply_binary(interpreter, BinaryOperator::kAdd, interpreter.slice(text, 0, sign), padded);
}

// All characters are of a class, and there is one.
template <bool (*is)(uint32_t)>
Value all_characters(Interpreter&, const Value& self, const Arguments& arguments) {
  bind_arguments("a test of characters", arguments, {}, 0);
  const std::string_view all = self.string()->view();
  bool holds = !all.empty();
  for (size_t at = 0; at < all.size();) holds = is(next_character(all, at)) && holds;
  return Value(holds);
}
bool is_alphanumeric(uint32_t c) { return is_alpha(c) || is_numeric_character(c); }
bool is_ascii_character(uint32_t c) { return c < 0x80; }

Value isascii(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  if (self.string()->empty()) return Value(true);
  return all_characters<is_ascii_character>(interpreter, self, arguments);
}
Value isprintable(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  if (self.string()->empty()) return Value(true);
  return all_characters<is_printable>(interpreter, self, arguments);
}

// No cased character is of the other case, and there is one.
template <bool (*is)(uint32_t)>
Value cased_characters(Interpreter&, const Value& self, const Arguments& arguments) {
  bind_arguments("a test of characters", arguments, {}, 0);
  const std::string_view all = self.string()->view();
  bool any = false;
  for (size_t at = 0; at < all.size();) {
    const uint32_t c = next_character(all, at);
    if (is_cased(c) && !is(c)) return Value(false);
    any = any || is(c);
  }
  return Value(any);
}

Value istitle(Interpreter&, const Value& self, const Arguments& arguments) {
  bind_arguments("istitle", arguments, {}, 0);
  const std::string_view all = self.string()->view();
  bool any = false;
  bool in_word = false;
  for (size_t at = 0; at < all.size();) {
    const uint32_t c = next_character(all, at);
    const bool starts = is_upper(c) || is_title(c);
    if (starts ? in_word : is_lower(c) && !in_word) return Value(false);
    in_word = is_cased(c);
    any = any || in_word;
  }
  return Value(any);
}

Value format_method(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  return brace_format(interpreter, *self.string(), arguments);
}

Value list_count(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("count", arguments, {"value"}, 1);
  interpreter.budget().step(self.weight());
  const auto& items = self.list()->items;
  return Value(static_cast<Integer>(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(item, *bound[0]); })));
}

Value list_index(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("index", arguments, {"value"}, 1);
  interpreter.budget().step(self.weight());
  const auto& items = self.list()->items;
  const auto found = std::find_if(items.begin(), items.end(),
                                  [&](const Value& item) { return equal(item, *bound[0]); });
  if (found == items.end()) fail(fmt::format("index: {} is not in the list", shown(*bound[0])));
  return Value(static_cast<Integer>(found - items.begin()));
}

Value copy(Interpreter&, const Value& self, const Arguments& arguments) {
  bind_arguments("copy", arguments, {}, 0);
  return self;  // nothing can change it
}

Value dict_get(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  const auto bound = bind_arguments("get", arguments, {"key", "default"}, 1);
  interpreter.budget().step(bound[0]->weight());
  if (const Value* found = self.dict()->find(*bound[0])) return *found;
  return bound[1] == nullptr ? Value() : *bound[1];
}

template <DictView::Part part>
Value dict_view(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  bind_arguments("a view of a dict", arguments, {}, 0);
  interpreter.budget().allocate(sizeof(DictView));
  return Value(std::make_shared<DictView>(self, part));
}

using Table = std::unordered_map<std::string_view, Method>;

// A null method: Python has it, but it would change its object (which the sandbox forbids), or it
// is of no use for text.
const Table& methods_of(const Value& object) {
  static const Table kText = {
      {"capitalize", capitalize_method},
      {"casefold", case_method<Case::kFold>},
      {"center", pad_method<true, true>},
      {"count", count},
      {"encode", nullptr},
      {"endswith", affix<true>},
      {"expandtabs", nullptr},
      {"find", find<false, false>},
      {"format", format_method},
      {"format_map", nullptr},
      {"index", find<false, true>},
      {"isalnum", all_characters<is_alphanumeric>},
      {"isalpha", all_characters<is_alpha>},
      {"isascii", isascii},
      {"isdecimal", all_characters<is_decimal>},
      {"isdigit", all_characters<is_digit>},
      {"isidentifier", nullptr},
      {"islower", cased_characters<is_lower>},
      {"isnumeric", all_characters<is_numeric_character>},
      {"isprintable", isprintable},
      {"isspace", all_characters<is_space>},
      {"istitle", istitle},
      {"isupper", cased_characters<is_upper>},
      {"join", join_method},
      {"ljust", pad_method<false, true>},
      {"lower", case_method<Case::kLower>},
      {"lstrip", strip_method<Side::kLeft>},
      {"maketrans", nullptr},
      {"partition", partition<false>},
      {"removeprefix", remove_affix<false>},
      {"removesuffix", remove_affix<true>},
      {"replace", replace_method},
      {"rfind", find<true, false>},
      {"rindex", find<true, true>},
      {"rjust", pad_method<true, false>},
      {"rpartition", partition<true>},
      {"rsplit", split_method<true>},
      {"rstrip", strip_method<Side::kRight>},
      {"split", split_method<false>},
      {"splitlines", splitlines},
      {"startswith", affix<false>},
      {"strip", strip_method<Side::kBoth>},
      {"swapcase", swapcase},
      {"title", title_method},
      {"translate", nullptr},
      {"upper", case_method<Case::kUpper>},
      {"zfill", zfill},
  };
  static const Table kTuple = {{"count", list_count}, {"index", list_index}};
  static const Table kList = {
      {"append", nullptr}, {"clear", nullptr},    {"copy", copy},      {"count", list_count},
      {"extend", nullptr}, {"index", list_index}, {"insert", nullptr}, {"pop", nullptr},
      {"remove", nullptr}, {"reverse", nullptr},  {"sort", nullptr},
  };
  static const Table kDict = {
      {"clear", nullptr},
      {"copy", copy},
      {"fromkeys", nullptr},
      {"get", dict_get},
      {"items", dict_view<DictView::Part::kItems>},
      {"keys", dict_view<DictView::Part::kKeys>},
      {"pop", nullptr},
      {"popitem", nullptr},
      {"setdefault", nullptr},
      {"update", nullptr},
      {"values", dict_view<DictView::Part::kValues>},
  };
  static const Table kNone;
  if (object.string() != nullptr) return kText;
  if (object.list() != nullptr) return object.list()->tuple ? kTuple : kList;
  return object.dict() != nullptr ? kDict : kNone;
}

}  // namespace

std::optional<Value> find_method(Interpreter& interpreter, const Value& object,
                                 std::string_view name) {
  const Table& methods = methods_of(object);
  const auto found = methods.find(name);
  if (found == methods.end()) return std::nullopt;
  const Method method = found->second;
  if (method == nullptr) {
    return Value::undefined(object.string() != nullptr
                                ? fmt::format("str.{} is not supported in templates", name)
                                : fmt::format("{}.{} would change the {}, which templates may not",
                                              object.type_name(), name, object.type_name()));
  }
  interpreter.budget().step();
  return make_function(
      [object, method](Interpreter& running, const Arguments& arguments) {
        if (const Text* text = object.string()) running.budget().step(text->size() / 64);
        return method(running, object, arguments);
      },
      object.depth() + 1);
}

}  // namespace looplm::jinja

#include "cli/token_text.h"

#include <charconv>

#include <fmt/format.h>

#include "infer/parts.h"
#include "text/utf8.h"

namespace looplm::cli {

Result<std::vector<int32_t>> parse_ids(const std::string& option, const std::string& text) {
  std::vector<int32_t> ids;
  size_t at = 0;
  while (true) {
    const size_t comma = std::min(text.find(',', at), text.size());
    size_t begin = at, end = comma;
    while (begin < end && text[begin] == ' ') ++begin;
    while (end > begin && text[end - 1] == ' ') --end;
    int32_t id = 0;
    const char* last = text.data() + end;
    const auto [stopped, error] = std::from_chars(text.data() + begin, last, id);
    if (error != std::errc() || stopped != last || id < 0) {
      return invalid_argument(fmt::format("{} holds '{}'; expected token ids such as 1,2,3", option,
                                          text.substr(at, comma - at)));
    }
    ids.push_back(id);
    if (comma == text.size()) return ids;
    at = comma + 1;
  }
}

Result<std::vector<int32_t>> encode_prompt(Model& model, const std::string& text) {
  if (model.tokenizer() == nullptr) {
    const Status& unread = model.parts().tokenizer_status;
    if (!unread.ok()) {
      return unsupported(fmt::format(
          "'{}' has a tokenizer that looplm does not read: {}; put its tokenizer.json beside the "
          "file, or give token ids with --ids 1,2,3",
          model.name(), unread.message()));
    }
    return invalid_argument(fmt::format(
        "'{}' has no tokenizer with it to read text by; give token ids with --ids 1,2,3",
        model.name()));
  }
  LOOPLM_RETURN_IF_ERROR(check_utf8(text).with_context("the prompt"));
  return model.tokenizer()->encode(text);
}

namespace {

// C1 controls (U+0080 to U+009F) move some terminals' cursors too.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  return first < 0x20 || first == 0x7f ||
         (first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0);
}

// With control characters and broken UTF-8 as \x1b. `named` may write a character otherwise, or
// returns null.
template <typename Named>
std::string without_controls(std::string_view bytes, const Named& named) {
  std::string out;
  while (!bytes.empty()) {
    const Utf8Step step = utf8_step(bytes);
    const std::string_view part = bytes.substr(0, step.size);
    const char* name = named(part);
    if (name != nullptr) {
      out += name;
    } else if (step.kind == Utf8Step::Kind::kCharacter && !is_control(part)) {
      out += part;
    } else {
      for (char c : part) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    bytes.remove_prefix(step.size);
  }
  return out;
}

}  // namespace

std::string quoted(std::string_view bytes) {
  const auto named = [](std::string_view part) -> const char* {
    if (part == "\n") return "\\n";
    if (part == "\t") return "\\t";
    if (part == "\r") return "\\r";
    if (part == "\"") return "\\\"";
    return part == "\\" ? "\\\\" : nullptr;
  };
  return '"' + without_controls(bytes, named) + '"';
}

std::string shown(std::string_view bytes) {
  return without_controls(bytes, [](std::string_view part) -> const char* {
    if (part == "\n") return "\n";
    return part == "\t" ? "\t" : nullptr;
  });
}

}  // namespace looplm::cli

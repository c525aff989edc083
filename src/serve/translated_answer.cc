#include "serve/translated_answer.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace looplm {

void TranslatedAnswer::token(size_t choice, const GeneratedToken& token,
                             std::vector<StreamEvent>& out) {
  std::vector<StreamEvent> chunks;
  openai_->token(choice, token, chunks);
  translate(chunks, out);
}

void TranslatedAnswer::ended(size_t choice, const Generation& generation,
                             std::vector<StreamEvent>& out) {
  over(generation);
  std::vector<StreamEvent> chunks;
  openai_->ended(choice, generation, chunks);
  translate(chunks, out);
}

void TranslatedAnswer::closed(const Usage& usage, std::vector<StreamEvent>& out) {
  close(message(usage), usage, out);
}

OrderedJson TranslatedAnswer::whole(const Usage& usage) { return answer(message(usage), usage); }

void TranslatedAnswer::translate(const std::vector<StreamEvent>& chunks,
                                 std::vector<StreamEvent>& out) {
  for (const StreamEvent& chunk : chunks) {
    for (const OrderedJson& choice : chunk.data["choices"]) {
      if (choice["finish_reason"].is_string()) finish_reason_ = choice["finish_reason"];
      if (choice.contains("text")) {
        delta({{"content", choice["text"]}}, out);
      } else {
        if (choice["logprobs"].is_object()) log_probabilities(choice["logprobs"]["content"]);
        delta(choice["delta"], out);
      }
    }
  }
}

OrderedJson TranslatedAnswer::message(const Usage& usage) {
  const OrderedJson choice = openai_->whole(usage)["choices"][0];
  return choice.contains("text") ? OrderedJson{{"content", choice["text"]}} : choice["message"];
}

void copy_fields(const OrderedJson& from, std::initializer_list<const char*> names,
                 OrderedJson& to) {
  for (const char* name : names) {
    if (from.contains(name)) to[name] = from[name];
  }
}

std::string text_at(const OrderedJson& object, const char* name) {
  const OrderedJson value = value_at(object, name);
  return value.is_string() ? value.get<std::string>() : "";
}

OrderedJson value_at(const OrderedJson& object, const char* name) {
  return object.is_object() && object.contains(name) ? object[name] : OrderedJson();
}

std::string text_of_content(Fields& f, const std::string& path, const OrderedJson& content,
                            std::initializer_list<std::string_view> types) {
  if (content.is_string()) return content;
  std::string text;
  if (!content.is_array()) {
    f.wrong_value(path, content, "a text or a list of parts");
    return text;
  }
  for (size_t i = 0; i < content.size(); ++i) {
    const OrderedJson& part = content[i];
    const std::string place = fmt::format("{}[{}]", path, i);
    const std::string type = text_at(part, "type");
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      f.wrong(place + ".type", fmt::format("is '{}'; expected {}; the model reads text alone", type,
                                           fmt::join(types, ", ")));
    } else if (!part.contains("text") || !part["text"].is_string()) {
      f.wrong(place + ".text", "is missing; expected a text");
    } else {
      if (!text.empty()) text += "\n";
      text += part["text"].get<std::string>();
    }
    if (f.failed()) break;
  }
  return text;
}

OrderedJson function_tool(const OrderedJson& tool, const char* parameters) {
  OrderedJson function = {{"name", value_at(tool, "name")}};
  for (const auto& [theirs, ours] : {std::pair{"description", "description"},
                                     {parameters, "parameters"},
                                     {"strict", "strict"}}) {
    OrderedJson value = value_at(tool, theirs);
    if (!value.is_null()) function[ours] = std::move(value);
  }
  return {{"type", "function"}, {"function", std::move(function)}};
}

OrderedJson arguments_object(const OrderedJson& text) {
  Result<OrderedJson> parsed = parse_ordered_json(text.get<std::string>(), "arguments");
  return parsed.ok() && parsed.value().is_object() ? std::move(parsed).value()
                                                   : OrderedJson::object();
}

}  // namespace looplm

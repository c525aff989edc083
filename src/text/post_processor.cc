#include "text/post_processor.h"

#include <fmt/format.h>

namespace looplm {
namespace {

// {"id": "<s>", "ids": [1], "tokens": ["<s>"]} in special_tokens, by the id that the template
// names.
Status add_special(const Json& node, const std::string& name, std::vector<int32_t>& out) {
  const auto table = node.find("special_tokens");
  if (table == node.end() || !table->is_object() || !table->contains(name)) {
    return invalid_argument(fmt::format("special_tokens has no '{}'", name));
  }
  const auto ids = (*table)[name].find("ids");
  if (ids == (*table)[name].end() || !ids->is_array()) {
    return invalid_argument(fmt::format("special token '{}' has no list of ids", name));
  }
  for (const Json& id : *ids) {
    if (!id.is_number_integer() || id < 0 || id > 0x7FFFFFFF) {
      return invalid_argument(fmt::format("special token '{}' has the id {}", name, dump_json(id)));
    }
    out.push_back(id.get<int32_t>());
  }
  return {};
}

Status read_template(const Json& node, PostProcessor& out) {
  const auto single = node.find("single");
  if (single == node.end() || !single->is_array()) {
    return invalid_argument("TemplateProcessing without a list 'single'");
  }
  PostProcessor added;
  bool after_text = false;
  for (const Json& piece : *single) {
    if (piece.is_object() && piece.contains("Sequence")) {
      if (after_text) return unsupported("a template that repeats the text");
      after_text = true;
      continue;
    }
    if (!piece.is_object() || !piece.contains("SpecialToken") ||
        !piece["SpecialToken"].is_object()) {
      return invalid_argument(fmt::format(
          "template piece {}; expected a Sequence or a SpecialToken", dump_json(piece)));
    }
    LOOPLM_ASSIGN_OR_RETURN(const std::string name, json_string(piece["SpecialToken"], "id", ""));
    LOOPLM_RETURN_IF_ERROR(add_special(node, name, after_text ? added.after : added.before));
  }
  if (!after_text) return invalid_argument("a template without the text");
  out.before.insert(out.before.begin(), added.before.begin(), added.before.end());
  out.after.insert(out.after.end(), added.after.begin(), added.after.end());
  return {};
}

// RobertaProcessing and BertProcessing: "cls" in front and "sep" behind, each ["<s>", 0].
Status read_pair_of_tokens(const Json& node, PostProcessor& out) {
  const auto read = [&](const char* key) -> Result<int32_t> {
    const Json& token = node.contains(key) ? node[key] : Json();
    const bool pair = token.is_array() && token.size() == 2 && token[1].is_number_integer();
    if (!pair || token[1] < 0 || token[1] > 0x7FFFFFFF) {
      return invalid_argument(
          fmt::format("'{}' is {}; expected a token and its id", key, dump_json(token)));
    }
    return token[1].get<int32_t>();
  };
  LOOPLM_ASSIGN_OR_RETURN(const int32_t front, read("cls"));
  LOOPLM_ASSIGN_OR_RETURN(const int32_t behind, read("sep"));
  out.before.insert(out.before.begin(), front);
  out.after.push_back(behind);
  return {};
}

Status read_node(const Json& node, PostProcessor& out) {
  if (node.is_null()) return {};
  if (!node.is_object()) return invalid_argument("expected an object");
  LOOPLM_ASSIGN_OR_RETURN(const std::string type, json_string(node, "type", ""));
  if (type == "ByteLevel") return {};  // only moves offsets
  if (type == "TemplateProcessing") return read_template(node, out);
  if (type == "RobertaProcessing" || type == "BertProcessing")
    return read_pair_of_tokens(node, out);
  if (type == "Sequence" && node.contains("processors") && node["processors"].is_array()) {
    for (const Json& child : node["processors"]) LOOPLM_RETURN_IF_ERROR(read_node(child, out));
    return {};
  }
  return unsupported(
      fmt::format("post-processor '{}'; looplm knows Sequence, ByteLevel, TemplateProcessing, "
                  "RobertaProcessing and BertProcessing",
                  type));
}

}  // namespace

Result<PostProcessor> read_post_processor(const Json& node) {
  PostProcessor out;
  const Status status = read_node(node, out);
  if (!status.ok()) return status.with_context("post_processor");
  return out;
}

}  // namespace looplm

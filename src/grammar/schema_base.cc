#include "grammar/schema_base.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/percent.h"
#include "base/shortened.h"
#include "grammar/schema_merge.h"

namespace looplm {
namespace {

constexpr size_t kLongestPointer = 1'000;

const std::string* text_of(const OrderedJson& schema, const char* key) {
  const auto found = schema.find(key);
  return found == schema.end() ? nullptr : found->get_ptr<const std::string*>();
}

// A step of a JSON pointer, also as it stands in an address.
std::string pointer_step(std::string_view key) {
  std::string step = "/";
  for (const char c : key) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else if (c == '%') {
      step += "%25";
    } else {
      step += c;
    }
  }
  return step;
}

size_t scheme_end(std::string_view address) {
  const size_t colon = address.find(':');
  return colon == std::string_view::npos || colon > address.find('/') ? 0 : colon + 1;
}

// RFC 3986, 5.2, without the steps "." and "..".
std::string resolved(const std::string& base, const std::string& reference) {
  if (reference.empty() || scheme_end(reference) > 0) return reference.empty() ? base : reference;
  const size_t scheme = scheme_end(base);
  if (reference.starts_with("//")) return base.substr(0, scheme) + reference;
  const bool has_host = base.compare(scheme, 2, "//") == 0;
  const size_t path = has_host ? std::min(base.find('/', scheme + 2), base.size()) : scheme;
  if (reference.starts_with('/')) return base.substr(0, path) + reference;
  const size_t slash = base.rfind('/');
  if (slash == std::string::npos || slash < path) {
    return base.substr(0, path) + (has_host ? "/" : "") + reference;
  }
  return base.substr(0, slash + 1) + reference;
}

// Whether a schema has one of these keywords, itself or further inside.
bool has_keyword(const OrderedJson& schema, std::initializer_list<const char*> names,
                 SchemaKeys keys = SchemaKeys::kKeywords) {
  if (!schema.is_structured()) return false;
  for (const auto& [key, value] : schema.items()) {
    if (keys == SchemaKeys::kKeywords && schema.is_object() && value.is_string() &&
        std::ranges::find(names, key) != names.end()) {
      return true;
    }
    const std::optional<SchemaKeys> inside = keys_inside(keys, key);
    if (inside && has_keyword(value, names, *inside)) return true;
  }
  return false;
}

class Rewriter {
 public:
  // Finds what has an address or a name.
  void collect(const OrderedJson& schema, std::string base, const std::string& pointer,
               SchemaKeys keys = SchemaKeys::kKeywords) {
    if (keys == SchemaKeys::kKeywords && schema.is_object()) {
      const std::string* id = text_of(schema, "$id");
      if (id != nullptr && id->starts_with('#')) {  // what drafts 6 and 7 had for $anchor
        nested_ = true;
        addresses_.emplace(base + *id, pointer);
      } else if (id != nullptr) {
        base = resolved(base, id->substr(0, id->find('#')));
        nested_ = nested_ || !pointer.empty();
      }
      if (pointer.empty() || (id != nullptr && !id->starts_with('#'))) {
        addresses_.emplace(base, pointer);
      }
      if (const std::string* anchor = text_of(schema, "$anchor")) {
        addresses_.emplace(base + "#" + *anchor, pointer);
      }
    }
    if (!schema.is_structured()) return;
    for (const auto& [key, value] : schema.items()) {
      const std::optional<SchemaKeys> inside = keys_inside(keys, key);
      if (!inside) continue;
      // Each place below would repeat it.
      if (pointer.size() + key.size() > kLongestPointer) {
        if (unseen_.empty() && has_keyword(value, {"$id", "$anchor"}, *inside)) {
          unseen_ = pointer + pointer_step(key);
        }
        continue;
      }
      collect(value, base, pointer + pointer_step(key), *inside);
    }
  }
  bool nested() const { return nested_; }
  // Where an address or a name is that references may start from or lead to, and that is not known.
  const std::string& unseen() const { return unseen_; }

  void rewrite(OrderedJson& schema, std::string base,
               SchemaKeys keys = SchemaKeys::kKeywords) const {
    if (keys == SchemaKeys::kKeywords && schema.is_object()) {
      if (const std::string* id = text_of(schema, "$id")) {
        base = resolved(base, id->substr(0, id->find('#')));
      }
      if (const std::string* reference = text_of(schema, "$ref")) {
        schema["$ref"] = from_root(*reference, base);
      }
    }
    if (!schema.is_structured()) return;
    for (auto& [key, value] : schema.items()) {
      const std::optional<SchemaKeys> inside = keys_inside(keys, key);
      if (inside) rewrite(value, base, *inside);
    }
  }

 private:
  std::string from_root(const std::string& reference, const std::string& base) const {
    const size_t mark = std::min(reference.find('#'), reference.size());
    const std::string address = resolved(base, reference.substr(0, mark));
    const std::string fragment = mark == reference.size() ? "" : reference.substr(mark + 1);
    const bool named = !fragment.empty() && fragment[0] != '/';
    const auto found = addresses_.find(named ? address + "#" + fragment : address);
    if (found == addresses_.end()) return reference;
    return "#" + found->second + (named ? "" : fragment);
  }

  bool nested_ = false;
  std::string unseen_;
  std::map<std::string, std::string> addresses_;  // to pointers
};

}  // namespace

Result<OrderedJson> with_references_from_root(const OrderedJson& schema, const std::string& name) {
  Rewriter rewriter;
  rewriter.collect(schema, "", "");
  if (!rewriter.unseen().empty() && has_keyword(schema, {"$ref"})) {
    return unsupported(fmt::format(
        "{}: '$id' or '$anchor' at a place whose pointer has more than {} bytes ({}), in a schema "
        "with $ref; write shorter names",
        name, kLongestPointer, shortened(rewriter.unseen())));
  }
  OrderedJson all = schema;
  if (rewriter.nested()) rewriter.rewrite(all, "");
  return all;
}

Result<std::string> reference_path(const OrderedJson& root, const OrderedJson& value,
                                   const std::string& place) {
  std::string reference = value.is_string() ? value.get<std::string>() : "";
  const std::string* id = root.is_object() ? text_of(root, "$id") : nullptr;
  if (id != nullptr && !id->empty() && reference.starts_with(*id)) reference.erase(0, id->size());
  const bool whole = reference.empty() && value.is_string();
  if (!whole && !reference.starts_with('#')) {
    return unsupported(
        fmt::format("{} is {}; expected a reference inside the schema, such as \"#/$defs/name\"",
                    place, dump_json(value)));
  }
  return whole ? "" : percent_decoded(reference.substr(1));
}

Result<const OrderedJson*> find_reference(const OrderedJson& root, const std::string& path,
                                          const std::string& place) {
  if (!path.empty() && path[0] != '/') {
    if (const OrderedJson* found = find_anchor(root, path)) return found;
    return not_found(fmt::format("{}: there is no $anchor '{}' in the schema", place, path));
  }
  try {
    return &root.at(OrderedJson::json_pointer(path));
  } catch (const OrderedJson::exception&) {
    return not_found(fmt::format("{}: there is no '#{}' in the schema", place, path));
  }
}

}  // namespace looplm

#include "grammar/schema_exclusive.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "grammar/schema_scalars.h"

namespace looplm {
namespace {

constexpr int kMostDepth = 3;  // of properties inside each other

// What tells a branch's values from another's.
struct Traits {
  explicit Traits(const OrderedJson& schema, int depth = 0) {
    nothing = schema == false;
    if (!schema.is_object()) return;
    read_constants(schema);
    read_types(schema);
    if (schema.contains("required") && schema["required"].is_array()) {
      for (const OrderedJson& name : schema["required"]) {
        if (name.is_string()) required.insert(name.get<std::string>());
      }
    }
    const OrderedJson properties = schema.value("properties", OrderedJson::object());
    if (properties.is_object() && depth < kMostDepth) {
      for (const auto& [name, property] : properties.items()) {
        members.emplace(name, Traits(property, depth + 1));
      }
    }
    const OrderedJson others = schema.value("additionalProperties", OrderedJson());
    const bool patterns = schema.contains("patternProperties");
    const bool listed = depth < kMostDepth && properties.is_object() && !patterns;
    matches_listed_alone = listed && others == false;
    const bool free = properties.empty() && required.empty();
    writes_listed_alone =
        listed && !combines(schema) && (others == false || (others.is_null() && !free));
  }

  bool writes(const std::string& name) const {
    if (!writes_listed_alone) return true;
    const auto member = members.find(name);
    return member == members.end() ? required.contains(name) : !member->second.nothing;
  }

  bool nothing = false;
  std::set<Json> constants{};             // none: others too
  std::set<std::string> types{};          // none: all
  std::set<std::string> written_types{};  // of what looplm writes
  std::set<std::string> required{};
  std::map<std::string, Traits> members{};
  bool matches_listed_alone = false;
  bool writes_listed_alone = false;

 private:
  // Whether other schemas may add properties.
  static bool combines(const OrderedJson& schema) {
    constexpr const char* kKeys[] = {
        "$ref",         "allOf",        "anyOf", "oneOf", "not", "if", "dependentSchemas",
        "dependencies", "propertyNames"};
    return std::ranges::any_of(kKeys, [&](const char* key) { return schema.contains(key); });
  }

  void read_constants(const OrderedJson& schema) {
    if (schema.contains("const")) {
      constants.insert(Json(schema["const"]));
    } else if (schema.contains("enum") && schema["enum"].is_array()) {
      for (const OrderedJson& value : schema["enum"]) constants.insert(Json(value));
    }
  }

  void read_types(const OrderedJson& schema) {
    if (!constants.empty()) {
      for (const Json& value : constants) {
        types.insert(value.is_number() ? "number" : std::string(value.type_name()));
      }
    } else if (schema.contains("type")) {
      const OrderedJson& type = schema["type"];
      for (const OrderedJson& one : type.is_array() ? type : OrderedJson::array({type})) {
        if (one.is_string()) types.insert(one == "integer" ? "number" : one.get<std::string>());
      }
    }
    written_types = types;
    if (!types.empty() || combines(schema)) return;
    for (const auto& [key, value] : schema.items()) {
      const auto known = schema_keyword_types().find(key);
      if (known != schema_keyword_types().end()) written_types.insert(known->second);
    }
  }
};

template <typename T>
bool apart(const std::set<T>& a, const std::set<T>& b) {
  return !a.empty() && !b.empty() &&
         std::ranges::none_of(a, [&b](const T& one) { return b.contains(one); });
}

// Whether no text of `a` matches `b`.
bool never_matches(const Traits& a, const Traits& b) {
  if (a.nothing || b.nothing) return true;
  if (apart(a.constants, b.constants) || apart(a.written_types, b.types)) return true;
  if (a.written_types != std::set<std::string>{"object"}) return false;
  for (const std::string& name : b.required) {
    if (!a.writes(name)) return true;
  }
  return std::ranges::any_of(a.required, [&](const std::string& name) {
    const auto theirs = b.members.find(name);
    if (theirs == b.members.end()) return b.matches_listed_alone;
    const auto mine = a.members.find(name);
    return theirs->second.nothing ||
           (mine != a.members.end() && never_matches(mine->second, theirs->second));
  });
}

}  // namespace

std::vector<std::vector<size_t>> branches_matched_too(std::span<const OrderedJson> branches) {
  std::vector<Traits> traits;
  traits.reserve(branches.size());
  for (const OrderedJson& branch : branches) traits.emplace_back(branch);
  std::vector<std::vector<size_t>> too(branches.size());
  for (size_t i = 0; i < branches.size(); ++i) {
    for (size_t j = 0; j < branches.size(); ++j) {
      if (i != j && !never_matches(traits[i], traits[j])) too[i].push_back(j);
    }
  }
  return too;
}

}  // namespace looplm

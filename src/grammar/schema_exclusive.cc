#include "grammar/schema_exclusive.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "grammar/schema_scalars.h"

namespace looplm {
namespace {

constexpr int kMostDepth = 3;            // of properties inside each other
constexpr int64_t kMostSteps = 4 << 20;  // values and names that are looked up

// Whether looplm's texts of a schema follow from the keywords below alone. All others may add types
// or properties.
bool is_plain(const OrderedJson& schema) {
  if (!schema.is_object()) return false;
  for (const auto& [key, value] : schema.items()) {
    if (!is_schema_constraint(key) || key == "type" || key == "const" || key == "enum") continue;
    const bool adds = key == "patternProperties" || key == "propertyNames" ||
                      (key == "uniqueItems" && value == false);  // which is as good as not there
    if (adds || !schema_keyword_types().contains(key)) return false;
  }
  return true;
}

// What tells a branch's values from another's.
struct Traits {
  // `written`: looplm's texts follow from this schema, and no other holds beside it.
  explicit Traits(const OrderedJson& schema, bool written = true, int depth = 0) {
    nothing = schema == false;
    if (!schema.is_object()) return;
    written = written && is_plain(schema);
    read_constants(schema);
    read_types(schema, written);
    if (schema.contains("required") && schema["required"].is_array()) {
      for (const OrderedJson& name : schema["required"]) {
        if (name.is_string()) required.insert(name.get<std::string>());
      }
    }
    const OrderedJson properties = schema.value("properties", OrderedJson::object());
    const OrderedJson others = schema.value("additionalProperties", OrderedJson());
    if (!properties.is_object() || depth >= kMostDepth) return;
    for (const auto& [name, property] : properties.items()) {
      members.emplace(name, Traits(property, written, depth + 1));
    }
    const bool free = properties.empty() && required.empty();
    matches_listed_alone = others == false && !schema.contains("patternProperties");
    writes_listed_alone = written && (others == false || (others.is_null() && !free));
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
  void read_constants(const OrderedJson& schema) {
    if (schema.contains("const")) {
      constants.insert(Json(schema["const"]));
    } else if (schema.contains("enum") && schema["enum"].is_array()) {
      for (const OrderedJson& value : schema["enum"]) constants.insert(Json(value));
    }
  }

  void read_types(const OrderedJson& schema, bool written) {
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
    if (!types.empty() || !written) return;
    for (const auto& [key, value] : schema.items()) {
      const auto known = schema_keyword_types().find(key);
      if (known != schema_keyword_types().end()) written_types.insert(known->second);
    }
  }
};

class Comparer {
 public:
  bool tired() const { return steps_ > kMostSteps; }

  // Whether no text of `a` matches `b`.
  bool never_matches(const Traits& a, const Traits& b) {
    ++steps_;
    if (a.nothing || b.nothing) return true;
    if (apart(a.constants, b.constants) || apart(a.written_types, b.types)) return true;
    if (a.written_types != std::set<std::string>{"object"}) return false;
    for (const std::string& name : a.required) {
      ++steps_;
      const auto theirs = b.members.find(name);
      if (theirs == b.members.end()) {
        if (b.matches_listed_alone) return true;
        continue;
      }
      const auto mine = a.members.find(name);
      if (theirs->second.nothing) return true;
      if (mine != a.members.end() && never_matches(mine->second, theirs->second)) return true;
    }
    return std::ranges::any_of(b.required, [&](const std::string& name) {
      ++steps_;
      return !a.writes(name);
    });
  }

 private:
  template <typename T>
  bool apart(const std::set<T>& a, const std::set<T>& b) {
    if (a.size() > b.size()) return apart(b, a);
    return !a.empty() && std::ranges::none_of(a, [&](const T& one) {
      ++steps_;
      return b.contains(one);
    });
  }

  int64_t steps_ = 0;
};

}  // namespace

Status check_exclusive(std::span<const OrderedJson> branches, const std::string& place) {
  std::vector<Traits> traits;
  Comparer comparer;
  for (size_t i = 0; i < branches.size(); ++i) {
    traits.emplace_back(branches[i]);
    for (size_t j = 0; j < i; ++j) {
      if (comparer.tired()) {
        return unsupported(fmt::format("{}: {} branches are too many to be told apart; write anyOf",
                                       place, branches.size()));
      }
      if (comparer.never_matches(traits[i], traits[j]) &&
          comparer.never_matches(traits[j], traits[i])) {
        continue;
      }
      return unsupported(fmt::format(
          "{}: branches {} and {} may match the same value; tell them apart by type or by a "
          "required property with a constant, or write anyOf",
          place, j, i));
    }
  }
  return {};
}

}  // namespace looplm

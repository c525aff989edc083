// Typed look-ups in a YAML mapping. Errors name the file, the line and the key; keys that nobody
// asked for are errors too.
#ifndef LOOPLM_EVAL_YAML_READER_H_
#define LOOPLM_EVAL_YAML_READER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "looplm/status.h"

#include "base/json.h"

namespace looplm {

// Syntax errors name line and column. The root must be a mapping.
Result<YAML::Node> parse_yaml(std::string_view text, const std::string& file);

// Reads values of one mapping. The first error is kept in status(); later look-ups then do nothing.
class YamlReader {
 public:
  // `name` is the mapping's dotted name, "" for the root.
  YamlReader(const YAML::Node& mapping, std::string file, std::string name, Status& status);

  bool has(const std::string& key) const { return values_.count(key) > 0; }
  void require(const std::string& key);

  void read(const std::string& key, std::string& value);
  void read(const std::string& key, bool& value);
  void read(const std::string& key, int64_t& value, int64_t least, int64_t most);
  void read(const std::string& key, double& value, double least, double most);
  // A list of scalars, or one scalar.
  void read(const std::string& key, std::vector<std::string>& value);
  // One of the names; its index.
  void read(const std::string& key, size_t& value, const std::vector<std::string>& names);

  YAML::Node node(const std::string& key);  // null where the key is missing
  // The reader of a mapping below; fails when the node is something else.
  YamlReader child(const YAML::Node& mapping, const std::string& key) const;

  // Reports keys that were never asked for.
  void finish();

  void fail(const YAML::Node& at, const std::string& message) const;
  // "few_shot.count is 'many'; expected ...".
  void wrong(const std::string& key, const YAML::Node& value, const std::string& expected) const;
  // A value that is well-formed, but that somebody else refuses.
  void refuse(const std::string& key, const Status& why) const;

  const Status& status() const { return status_; }

 private:
  std::string full_name(const std::string& key) const;

  YAML::Node mapping_;
  std::string file_;
  std::string name_;
  Status& status_;
  std::map<std::string, YAML::Node> values_;
  std::map<std::string, bool> asked_;
};

// Scalars become numbers or truth values where YAML's core schema says so and they are not quoted.
// Fails above 64 levels and, with aliases written out, above 100,000 values.
Result<Json> yaml_to_json(const YAML::Node& node);

}  // namespace looplm

#endif  // LOOPLM_EVAL_YAML_READER_H_
